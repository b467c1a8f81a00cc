-- Gives the figures of a queue.
--
-- KEYS[1]   ready:<queue>
-- ARGV[1]   now
--
-- Result: nothing if there is no such queue, else: 1 if it is paused, else 0; how many of its jobs are available,
-- active, scheduled, retryable, discarded; how many were completed; and for each of the last 61 minutes in which
-- something happened: the minute, jobs completed, attempts failed, jobs claimed, the sums of durations and of waits.

-- @include minutes

local MINUTES = 60
local prefix, queue = string.sub(KEYS[1], 1, 9), string.sub(KEYS[1], 16)
if redis.call('HEXISTS', prefix .. 'queues', queue) == 0 then
  return {}
end

local result = {
  redis.call('SISMEMBER', prefix .. 'paused', queue),
  redis.call('ZCARD', KEYS[1]) + redis.call('ZCARD', prefix .. 'limited:' .. queue),
}
local names = { 'active', 'scheduled', 'retryable', 'discarded', 'completed' }
local counts = redis.call('HMGET', prefix .. 'facts:' .. queue, unpack(names))
for place = 1, #names do
  result[place + 2] = tonumber(counts[place] or 0)
end
result[#result + 1] = minutes(prefix, queue, ARGV[1], MINUTES)
return result
