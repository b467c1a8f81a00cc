-- Forgets finished jobs of some queues: those that ended too long ago, and the oldest where there are too many.
--
-- KEYS      queue by queue: done:<queue>, discarded:<queue>, dead:<queue>
-- ARGV[1]   remove what ended at this time or before: completed and cancelled jobs,
-- ARGV[2]   discarded jobs,
-- ARGV[3]   dead letters
-- ARGV[4]   keep at most so many of a queue: completed and cancelled jobs,
-- ARGV[5]   dead letters
-- ARGV[6]   remove at most so many in all
-- ARGV[7]   now
--
-- Result: how many were removed; 1 if the script looked at so much that there may be more, else 0.

-- @include states
-- @include record
-- @include forget

local NO_LIMIT = 2 ^ 53
local CHUNK = 100
-- Names in lists that one script looks at: those of jobs that were deleted by name do not count as removed.
local MOST_LOOKS = 1000
local ENDED = { [COMPLETED] = true, [CANCELLED] = true, [DISCARDED] = true }
local limit, removed, looks = tonumber(ARGV[6]), 0, 0

-- Reads a listed job; when it ended, nil if it is gone, or if another job, which has not ended, took its id.
local function ended_at(prefix, id)
  local key = prefix .. 'j:' .. id
  local head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
  if head == '' or not ENDED[string.byte(head)] then
    return nil
  end
  decode(head, key)
  return job.ended_at
end

-- Removes from the old end of a list, to which jobs are added in the order in which they end.
local function sweep_list(key, time, most)
  local prefix, queue = string.sub(key, 1, 9), string.sub(key, 15)
  local excess = redis.call('LLEN', key) - most
  repeat
    local ids = redis.call('LRANGE', key, 0, CHUNK - 1)
    local taken = 0
    while taken < #ids and removed < limit and looks < MOST_LOOKS do
      looks = looks + 1
      local ended = ended_at(prefix, ids[taken + 1])
      if ended and ended > time and taken >= excess then
        break
      end
      taken = taken + 1
      if ended then
        forget(prefix, ids[taken])
        removed = removed + 1
      else
        add(facts_of(prefix, queue).all, 'gone', -1)
      end
    end
    if taken > 0 then
      redis.call('LTRIM', key, taken, -1)
      add(facts_of(prefix, queue).all, 'swept', taken)
    end
    excess = excess - taken
  until taken < CHUNK
end

local function sweep_set(key, time, most)
  local excess = redis.call('ZCARD', key) - most
  local old = redis.call('ZCOUNT', key, '-inf', time)
  local count = math.min(math.max(excess, old, 0), limit - removed)
  if count > 0 then
    local prefix = string.sub(key, 1, 9)
    for _, id in ipairs(redis.call('ZRANGE', key, 0, count - 1)) do
      if ended_at(prefix, id) then
        forget(prefix, id)
      end
    end
    redis.call('ZREMRANGEBYRANK', key, 0, count - 1)
    removed = removed + count
  end
end

for place = 1, #KEYS, 3 do
  sweep_list(KEYS[place], tonumber(ARGV[1]), tonumber(ARGV[4]))
  sweep_set(KEYS[place + 1], ARGV[2], NO_LIMIT)
  sweep_set(KEYS[place + 2], ARGV[3], tonumber(ARGV[5]))
end
write_facts(tonumber(ARGV[7]))
return { removed, looks == MOST_LOOKS and 1 or 0 }
