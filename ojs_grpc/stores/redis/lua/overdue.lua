-- Finds active jobs whose wake-up time has passed, earliest first.
--
-- KEYS      active of every partition
-- ARGV[1]   now
-- ARGV[2]   at most so many
-- ARGV[3]   at most so many bytes, but one job at least
--
-- Result: when the next one will be, false if there is none; then the record and the worker of each.

-- @include earliest
-- @include holder

local now, most, room = tonumber(ARGV[1]), 2 * tonumber(ARGV[2]), tonumber(ARGV[3])
local result = { false }
watch(KEYS)
while #result <= most and room > 0 do
  local prefix, id = next_until(now)
  if not id then
    break
  end
  local record = redis.call('GET', prefix .. 'j:' .. id)
  if record then
    local _, worker = holder_of(prefix, id)
    result[#result + 1] = record
    result[#result + 1] = worker
    room = room - #record
  end
end
result[1] = next_time()
return result
