-- Reads the logs of all partitions as one, oldest first.
--
-- KEYS      events of every partition
-- ARGV[1]   about so many events: an entry is given whole
-- ARGV[2]   about so many bytes
-- ARGV[3]   where to begin, as XRANGE takes it
-- ARGV[4..] place among the keys (from 1) and beginning of each stream that is begun elsewhere
--
-- Result: 1 if there are more, else 0; then for each entry its stream's place among the keys, its id, and its data.

-- @include streams

local left, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local starts, result = {}, { 0 }
for arg = 4, #ARGV, 2 do
  starts[tonumber(ARGV[arg])] = ARGV[arg + 1]
end
follow(KEYS, ARGV[3], starts)
while left > 0 and room > 0 and next_source() do
  local source = next_source()
  local size = #result
  result[size + 1], result[size + 2], result[size + 3] = source.place, source.id, source.data
  left, room = left - source.count, room - #source.data
  advance()
end
result[1] = next_source() and 1 or 0
return result
