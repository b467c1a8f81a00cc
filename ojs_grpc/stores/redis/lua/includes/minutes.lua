-- @include facts

local FIELDS = { 'completed', 'failed', 'claimed', 'duration', 'wait' }

-- What happened in a queue in this minute and in so many before it, for each in which something did: the minute, jobs
-- completed, attempts failed, jobs claimed, the sums of durations and of waits.
local function minutes(prefix, queue, now, before)
  local rows, this = {}, math.floor(now / MINUTE_MS)
  for minute = this - before, this do
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
