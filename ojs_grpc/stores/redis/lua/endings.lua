-- Lists jobs of workflows that ended, those that ended longest ago first.
--
-- KEYS      ended of every partition
-- ARGV[1]   at most so many
--
-- Result: 1 if there are more, else 0; then a text for each: state, job and workflow.

-- @include earliest

local result = { 0 }
watch(KEYS)
while #result <= tonumber(ARGV[1]) do
  local _, member = next_until(math.huge)
  if not member then
    break
  end
  result[#result + 1] = member
end
result[1] = next_time() and 1 or 0
return result
