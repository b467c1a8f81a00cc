-- Shows the present lease of jobs.
--
-- KEYS      the key that each job's id gives
--
-- Result: the lease of each job, 0 if it is not active.

-- @include states
-- @include find

local result = {}
for place, name in ipairs(KEYS) do
  local key, _, _, head = find(name)
  if key then
    decode(head)
  end
  result[place] = key and job.state == ACTIVE and job.lease or 0
end
return result
