-- Finds the end of every stream of events.
--
-- KEYS      events of every partition
--
-- Result: for each that there is its place among the keys (from 1) and the id of the last entry that it had.

-- @include some

-- The last id of a stream that has lost all its entries.
local function last_id(key)
  local facts = redis.call('XINFO', 'STREAM', key)
  for place = 1, #facts, 2 do
    if facts[place] == 'last-generated-id' then
      return facts[place + 1]
    end
  end
end

local result = {}
for _, place in ipairs(some(KEYS)) do
  local last = redis.call('XREVRANGE', KEYS[place], '+', '-', 'COUNT', 1)[1]
  if last or redis.call('EXISTS', KEYS[place]) == 1 then
    result[#result + 1] = place
    result[#result + 1] = last and last[1] or last_id(KEYS[place])
  end
end
return result
