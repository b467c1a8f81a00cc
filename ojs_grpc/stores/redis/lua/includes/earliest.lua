-- @include some

-- Several sorted sets of ids by time, read as one, earliest first, those of one time in the order of the sets: `watch`
-- them, then `next_until` and `next_time`. What is read stays in its set.

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

local function is_later(one, other)
  return one.time > other.time or one.time == other.time and one.place > other.place
end

-- Begins to read; `passed` says of a key, given its place among the keys, how much of its set is not to be read.
local function watch(keys, passed)
  for _, place in ipairs(some(keys)) do
    local first = passed and passed(keys[place], place) or 0
    local page = redis.call('ZRANGE', keys[place], first, first, 'WITHSCORES')
    if page[1] then
      local source = { key = keys[place], place = place, page = page, at = 1, offset = first + 1 }
      source.time = tonumber(page[2])
      sources[#sources + 1] = source
    end
  end
  table.sort(sources, is_later)
end

-- The time of what comes next, false if there is nothing.
local function next_time()
  return #sources > 0 and sources[#sources].time
end

-- The prefix, the id and the time of what comes next, if its time is not later than `now`; and the place of its set.
local function next_until(now)
  local place = #sources
  local source = sources[place]
  if not source or source.time > now then
    return nil
  end
  local id, time = source.page[source.at], source.time
  if not advance(source) then
    sources[place] = nil
  end
  while sources[place] and place > 1 and is_later(source, sources[place - 1]) do
    sources[place], sources[place - 1] = sources[place - 1], source
    place = place - 1
  end
  return string.sub(source.key, 1, 9), id, time, source.place
end
