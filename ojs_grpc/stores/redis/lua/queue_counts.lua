-- Counts the jobs of some queues, by state.
--
-- KEYS      ready:<queue> of each
-- ARGV[1]   now
--
-- Result: for each queue 1 if it is paused, else 0; its jobs that are available, active, scheduled, retryable, pending,
-- completed, cancelled, discarded; those ever completed; and for the last minute and this one what
-- includes/minutes.lua says.

-- @include minutes

local COUNTS = { 'active', 'scheduled', 'retryable', 'discarded', 'completed', 'gone' }

local result = {}
for place, key in ipairs(KEYS) do
  local prefix, queue = string.sub(key, 1, 9), string.sub(key, 16)
  local counts = redis.call('HMGET', prefix .. 'facts:' .. queue, unpack(COUNTS))
  for at = 1, #COUNTS do
    counts[at] = tonumber(counts[at] or 0)
  end
  local active, scheduled, retryable, discarded, completed, gone = unpack(counts)
  local cancelled = redis.call('ZCARD', prefix .. 'cancelled:' .. queue)
  -- Jobs that were deleted by name are still in the list.
  local finished = redis.call('LLEN', prefix .. 'done:' .. queue) - gone
  result[place] = {
    redis.call('SISMEMBER', prefix .. 'paused', queue),
    redis.call('ZCARD', key) + redis.call('ZCARD', prefix .. 'limited:' .. queue), active, scheduled, retryable,
    redis.call('ZCARD', prefix .. 'pending:' .. queue), finished - cancelled, cancelled, discarded, completed,
    minutes(prefix, queue, ARGV[1], 1),
  }
end
return result
