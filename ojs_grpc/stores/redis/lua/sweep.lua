-- Forgets finished jobs of some queues: those that ended too long ago, and the oldest where there are too many.
--
-- KEYS      queue by queue: done:<queue>, discarded:<queue>, dead:<queue>
-- ARGV[1]   remove what ended at this time or before: completed and cancelled jobs,
-- ARGV[2]   discarded jobs,
-- ARGV[3]   dead letters
-- ARGV[4]   keep at most so many of a queue: completed and cancelled jobs,
-- ARGV[5]   dead letters
-- ARGV[6]   remove at most so many in all
--
-- Result: how many were removed.

-- @include record
-- @include forget

local NO_LIMIT = 2 ^ 53
local CHUNK = 100
local limit, removed = tonumber(ARGV[6]), 0

-- Whether the listed job ended at this time or before; one that is gone did.
local function ended_by(prefix, id, time)
  local ended_at = redis.call('GETRANGE', prefix .. 'j:' .. id, ENDED_AT, ENDED_AT + 7)
  return ended_at == '' or struct.unpack('<i8', ended_at) <= time
end

-- Removes from the old end of a list, to which jobs are added in the order in which they end.
local function sweep_list(key, time, most)
  local prefix = string.sub(key, 1, 9)
  local excess = redis.call('LLEN', key) - most
  repeat
    local ids = redis.call('LRANGE', key, 0, math.min(CHUNK, limit - removed) - 1)
    local taken = 0
    while taken < #ids and (taken < excess or ended_by(prefix, ids[taken + 1], time)) do
      taken = taken + 1
      forget(prefix, ids[taken])
    end
    if taken > 0 then
      redis.call('LTRIM', key, taken, -1)
    end
    removed, excess = removed + taken, excess - taken
  until taken < CHUNK or removed == limit
end

local function sweep_dead(key, time, most)
  local excess = redis.call('ZCARD', key) - most
  local old = redis.call('ZCOUNT', key, '-inf', time)
  local count = math.min(math.max(excess, old, 0), limit - removed)
  if count > 0 then
    for _, id in ipairs(redis.call('ZRANGE', key, 0, count - 1)) do
      forget(string.sub(key, 1, 9), id)
    end
    redis.call('ZREMRANGEBYRANK', key, 0, count - 1)
    removed = removed + count
  end
end

for place = 1, #KEYS, 3 do
  if removed < limit then
    sweep_list(KEYS[place], tonumber(ARGV[1]), tonumber(ARGV[4]))
  end
  if removed < limit then
    sweep_list(KEYS[place + 1], tonumber(ARGV[2]), NO_LIMIT)
  end
  if removed < limit then
    sweep_dead(KEYS[place + 2], ARGV[3], tonumber(ARGV[5]))
  end
end
return removed
