-- Gives the figures of a queue.
--
-- KEYS[1]   ready:<queue>
-- ARGV[1]   now
--
-- Result: nothing if there is no such queue, else: 1 if it is paused, else 0; how many of its jobs are available,
-- active, scheduled, retryable, discarded; how many were completed; and for each of the last 61 minutes in which
-- something happened: the minute, jobs completed, attempts failed, jobs claimed, the sums of durations and of waits.

-- @include facts

local MINUTES = 60
local FIELDS = { 'completed', 'failed', 'claimed', 'duration', 'wait' }
local prefix, queue = string.sub(KEYS[1], 1, 9), string.sub(KEYS[1], 16)
if redis.call('HEXISTS', prefix .. 'queues', queue) == 0 then
  return {}
end

local function minutes()
  local rows, this = {}, math.floor(ARGV[1] / MINUTE_MS)
  for minute = this - MINUTES, this do
    local key = prefix .. 'minute:' .. queue .. ':' .. string.format('%.0f', minute)
    local row = redis.call('HMGET', key, unpack(FIELDS))
    local any = false
    for place = 1, #FIELDS do
      any = any or row[place]
      row[place] = tonumber(row[place] or 0)
    end
    if any then
      rows[#rows + 1] = { minute, unpack(row) }
    end
  end
  return rows
end

local result = { redis.call('SISMEMBER', prefix .. 'paused', queue), redis.call('ZCARD', KEYS[1]) }
local names = { 'laned', 'active', 'scheduled', 'retryable', 'discarded', 'completed' }
local counts = redis.call('HMGET', prefix .. 'facts:' .. queue, unpack(names))
result[2] = result[2] + tonumber(counts[1] or 0)
for place = 2, #names do
  result[place + 1] = tonumber(counts[place] or 0)
end
result[#result + 1] = minutes()
return result
