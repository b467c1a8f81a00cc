-- Applies decided changes to jobs whose precondition holds.
--
-- KEYS      the key that each job's id gives
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3]   1 to log events, else 0
-- ARGV[4..] change by change: as in includes/change.lua
--
-- Result: 1 if jobs of workflows ended, else 0; the names of queues that may have jobs to claim now; then each job's
-- record afterwards, false if the change was not applied.

-- @include change
-- @include conclude

local now, process = tonumber(ARGV[1]), ARGV[2]
local changed, result = {}, {}
is_logging = ARGV[3] == '1'

local function apply(name, arg)
  local key, prefix, id, head = find(name)
  if not key then
    return false
  end
  if changed[key] then
    -- What was noted for the job must be there before more is.
    catch_up(process)
  end
  if not may_change(key, prefix, id, head, arg) then
    return false
  end
  changed[key] = true
  return change(key, prefix, id, head, arg, now, process)
end

for place, name in ipairs(KEYS) do
  result[place + 2] = apply(name, 4 + CHANGE_SIZE * (place - 1))
end
result[2] = conclude(now, process)
result[1] = ended
return result
