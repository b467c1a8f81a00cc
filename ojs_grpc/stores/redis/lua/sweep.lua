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
-- Result: how many were removed.

-- @include states
-- @include record
-- @include forget

local NO_LIMIT = 2 ^ 53
local CHUNK = 100
local limit, removed = tonumber(ARGV[6]), 0

-- Reads a listed job; when it ended, nil if it is gone, or in a state that this list is not about, because it started over.
local function ended_at(prefix, id, states)
  local key = prefix .. 'j:' .. id
  local head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
  if head == '' or not states[string.byte(head)] then
    return nil
  end
  decode(head, key)
  return job.ended_at
end

-- Removes from the old end of a list, to which jobs are added in the order in which they end.
local function sweep_list(key, states, time, most)
  local prefix = string.sub(key, 1, 9)
  local excess = redis.call('LLEN', key) - most
  repeat
    local ids = redis.call('LRANGE', key, 0, CHUNK - 1)
    local taken = 0
    while taken < #ids and removed < limit do
      local ended = ended_at(prefix, ids[taken + 1], states)
      if ended and ended > time and taken >= excess then
        break
      end
      taken = taken + 1
      if ended then
        forget(prefix, ids[taken])
        removed = removed + 1
      end
    end
    if taken > 0 then
      redis.call('LTRIM', key, taken, -1)
    end
    excess = excess - taken
  until taken < CHUNK
end

local function sweep_dead(key, time, most)
  local excess = redis.call('ZCARD', key) - most
  local old = redis.call('ZCOUNT', key, '-inf', time)
  local count = math.min(math.max(excess, old, 0), limit - removed)
  if count > 0 then
    local prefix = string.sub(key, 1, 9)
    for _, id in ipairs(redis.call('ZRANGE', key, 0, count - 1)) do
      if ended_at(prefix, id, { [DISCARDED] = true }) then
        forget(prefix, id)
      end
    end
    redis.call('ZREMRANGEBYRANK', key, 0, count - 1)
    removed = removed + count
  end
end

for place = 1, #KEYS, 3 do
  sweep_list(KEYS[place], { [COMPLETED] = true, [CANCELLED] = true }, tonumber(ARGV[1]), tonumber(ARGV[4]))
  sweep_list(KEYS[place + 1], { [DISCARDED] = true }, tonumber(ARGV[2]), NO_LIMIT)
  sweep_dead(KEYS[place + 2], ARGV[3], tonumber(ARGV[5]))
end
write_facts(tonumber(ARGV[7]))
return removed
