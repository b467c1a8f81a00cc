-- Finds jobs past their time to live that no worker ever got, earliest first.
--
-- KEYS      ttl of every partition
-- ARGV[1]   now
-- ARGV[2]   at most so many
-- ARGV[3]   at most so many bytes, but one job at least
--
-- Result: when the next one will be, false if there is none; then the record of each.

-- @include earliest

local now, most, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local result = { false }
watch(KEYS)
while #result <= most and room > 0 do
  local prefix, id = next_until(now)
  if not id then
    break
  end
  local record = redis.call('GET', prefix .. 'j:' .. id)
  if record then
    result[#result + 1] = record
    room = room - #record
  end
end
result[1] = next_time()
return result
