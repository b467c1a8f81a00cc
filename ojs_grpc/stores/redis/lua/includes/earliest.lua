-- @include some

-- Several sorted sets of ids by time, read as one, earliest first: `watch` them, then `next_until` and `next_time`.
-- What is read stays in its set.

local READ_AHEAD = 64
-- One for each set that has something left to read, the earliest last.
local sources = {}

-- Reads on in a source; false at its end.
local function advance(source)
  source.at = source.at + 2
  if not source.page[source.at] then
    source.page = redis.call('ZRANGE', source.key, source.offset, source.offset + READ_AHEAD - 1, 'WITHSCORES')
    source.offset = source.offset + #source.page / 2
    source.at = 1
  end
  source.time = tonumber(source.page[source.at + 1])
  return source.time ~= nil
end

local function watch(keys)
  for _, place in ipairs(some(keys)) do
    local page = redis.call('ZRANGE', keys[place], 0, 0, 'WITHSCORES')
    if page[1] then
      sources[#sources + 1] = { key = keys[place], page = page, at = 1, offset = 1, time = tonumber(page[2]) }
    end
  end
  table.sort(sources, function(one, other) return one.time > other.time end)
end

-- The time of what comes next, false if there is nothing.
local function next_time()
  return #sources > 0 and sources[#sources].time
end

-- The prefix and the id of what comes next, if its time is not later than `now`.
local function next_until(now)
  local place = #sources
  local source = sources[place]
  if not source or source.time > now then
    return nil
  end
  local id = source.page[source.at]
  if not advance(source) then
    sources[place] = nil
  end
  while sources[place] and place > 1 and sources[place - 1].time < source.time do
    sources[place], sources[place - 1] = sources[place - 1], source
    place = place - 1
  end
  return string.sub(source.key, 1, 9), id
end
