-- @include later
-- @include effects
-- @include limits

-- Jobs with limits stand in lanes, one for each queue and limits (as text), so that a claim passes a lane over and not
-- its jobs. `lanes:<queue>` has the lanes that may be open, by the score of their first job; `shut:<queue>` the others,
-- each with the set in which it waits. `limited:<queue>` has the jobs of all lanes, which operators list and count.

-- What waits for one limit is woken in lots, the next one this much later if nothing else wakes it.
local MOST_WOKEN = 64
local NEXT_LOT_MS = 100
-- Limits that one script looks at because their time has come.
local MOST_IN_TIME = 5
local touched = {}

local function lane_of(prefix, queue, limits)
  return prefix .. 'lane:' .. queue .. ':' .. limits
end

-- What stands for a lane where it waits; without limits, for its queue.
local function line_of(prefix, queue, limits)
  return string.sub(prefix, 6, 7) .. ' ' .. queue .. ' ' .. limits
end

-- Notes that jobs came to a lane or left it.
local function touch(prefix, queue, limits)
  uses_lanes = true
  touched[lane_of(prefix, queue, limits)] = { prefix = prefix, queue = queue, limits = limits }
end

-- Puts a lane where it belongs now.
local function settle(lane, prefix, queue, limits)
  local head = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  local waiting = redis.call('HGET', prefix .. 'shut:' .. queue, limits)
  if head[1] and not waiting then
    redis.call('ZADD', prefix .. 'lanes:' .. queue, head[2], limits)
  elseif not head[1] and not waiting then
    redis.call('ZREM', prefix .. 'lanes:' .. queue, limits)
  elseif not head[1] then
    redis.call('HDEL', prefix .. 'shut:' .. queue, limits)
    redis.call('ZREM', waiting, line_of(prefix, queue, limits))
  end
end

local function settle_lanes()
  for lane, place in pairs(touched) do
    settle(lane, place.prefix, place.queue, place.limits)
  end
  touched = {}
end

-- Takes a lane out of those that may be open.
local function shut(prefix, queue, limits, waiting)
  redis.call('ZREM', prefix .. 'lanes:' .. queue, limits)
  redis.call('HSET', prefix .. 'shut:' .. queue, limits, waiting)
end

-- Takes a job out of its lane.
local function leave_lane(prefix, queue, limits, id)
  redis.call('ZREM', lane_of(prefix, queue, limits), id)
  redis.call('ZREM', prefix .. 'limited:' .. queue, id)
  touch(prefix, queue, limits)
end

-- Adds jobs, as ZADD takes them, to a lane; whether it was empty before.
local function add_to_lane(prefix, queue, limits, members)
  local lane = lane_of(prefix, queue, limits)
  send('ZADD', lane, members)
  send('ZADD', prefix .. 'limited:' .. queue, members)
  touch(prefix, queue, limits)
  return redis.call('ZCARD', lane) == #members / 2
end

-- Puts lanes of a queue, given by their limits, among those that may be open.
local function open_lanes(prefix, queue, texts)
  local heads = {}
  for _, limits in ipairs(texts) do
    local head = redis.call('ZRANGE', lane_of(prefix, queue, limits), 0, 0, 'WITHSCORES')
    if head[1] then
      heads[#heads + 1] = head[2]
      heads[#heads + 1] = limits
    end
  end
  send('HDEL', prefix .. 'shut:' .. queue, texts)
  send('ZADD', prefix .. 'lanes:' .. queue, heads)
end

-- Opens what waited in a set, the longest waiting first.
local function wake(waiting, now, process)
  local lines = redis.call('ZRANGE', waiting, 0, MOST_WOKEN - 1)
  if #lines == 0 then
    return
  end
  redis.call('ZREM', waiting, unpack(lines))
  local woken = {}
  for _, line in ipairs(lines) do
    local tag, queue, limits = string.match(line, '^(%x%x) (%S+) (.*)$')
    woken[queue] = woken[queue] or { prefix = 'ojs:{' .. tag .. '}:' }
    if limits ~= '' then
      table.insert(woken[queue], limits)
    end
  end
  for queue, limits in pairs(woken) do
    open_lanes(limits.prefix, queue, limits)
    if not opened[queue] then
      opened[queue] = true
      announce(queue, process)
    end
  end
  if #lines == MOST_WOKEN then
    redis.call('ZADD', REOPEN, 'LT', now + NEXT_LOT_MS, waiting)
  end
end

-- Opens what waited for the leases that ended in this script.
local function wake_freed(now, process)
  for waiting in pairs(freed) do
    wake(waiting, now, process)
  end
  freed = {}
end

-- When the next limit ends, false if nothing waits for one.
local function next_end()
  local first = redis.call('ZRANGE', REOPEN, 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- Opens what waited until now.
local function wake_in_time(now, process)
  for _, waiting in ipairs(redis.call('ZRANGEBYSCORE', REOPEN, '-inf', now, 'LIMIT', 0, MOST_IN_TIME)) do
    redis.call('ZREM', REOPEN, waiting)
    wake(waiting, now, process)
  end
end

return {
  lane_of = lane_of, line_of = line_of, settle_lanes = settle_lanes, shut = shut,
  leave_lane = leave_lane, add_to_lane = add_to_lane, wake_freed = wake_freed, wake_in_time = wake_in_time,
  limits_of = limits_of, blocking = blocking, widen_window = widen_window, use = use, stop_using = stop_using,
  wait_for = wait_for, next_end = next_end,
}
