-- @include some

-- Streams of events read as one, in the order in which the entries came: `follow` them, then `next_source` and `advance`.

local READ_AHEAD = 8
-- One for each stream that has something left to read, the earliest last.
local streams = {}

local function is_later(one, other)
  return one.number > other.number
end

-- Looks at a stream's present entry; false at its end.
local function look(source)
  local entry = source.page[source.at]
  if not entry then
    return false
  end
  source.id, source.data = entry[1], entry[2][2]
  source.at_time, source.count, source.number = struct.unpack('<i8I4i8', source.data)
  return true
end

-- Begins to read; `starts` says from where for some places among the keys, `start` for all others.
local function follow(keys, start, starts)
  for _, place in ipairs(some(keys)) do
    local page = redis.call('XRANGE', keys[place], starts[place] or start, '+', 'COUNT', 1)
    local source = { key = keys[place], place = place, page = page, at = 1 }
    if look(source) then
      streams[#streams + 1] = source
    end
  end
  table.sort(streams, is_later)
end

-- The stream whose present entry is the earliest.
local function next_source()
  return streams[#streams]
end

-- Takes the earliest stream out.
local function leave_source()
  streams[#streams] = nil
end

-- Goes on behind the earliest entry.
local function advance()
  local place = #streams
  local source = streams[place]
  source.at = source.at + 1
  if not source.page[source.at] then
    source.page = redis.call('XRANGE', source.key, '(' .. source.id, '+', 'COUNT', READ_AHEAD)
    source.at = 1
  end
  if not look(source) then
    leave_source()
    return
  end
  while place > 1 and is_later(source, streams[place - 1]) do
    streams[place], streams[place - 1] = streams[place - 1], source
    place = place - 1
  end
end
