-- Reads jobs.
--
-- KEYS      the key that each job's id gives
--
-- Result: two values a job: its record, false if there is no such job, and the worker that holds it, '' if none does.

-- @include states
-- @include find
-- @include holder

local result = {}
for place, name in ipairs(KEYS) do
  local record, worker = redis.call('GET', name), ''
  local key, prefix, id = name, string.sub(name, 1, 9), string.sub(name, 12)
  if not record then
    key, prefix = find(name)
    record = key and redis.call('GET', key) or false
  end
  if record and string.byte(record) == ACTIVE then
    worker = select(2, holder_of(prefix, id))
  end
  result[2 * place - 1], result[2 * place] = record, worker
end
return result
