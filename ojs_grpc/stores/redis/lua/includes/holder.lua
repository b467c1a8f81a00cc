-- Who holds an active job: the process that streams it (empty: none does) and the worker; and, if its claim counted
-- against the limit of its queue, the prefix of that limit.
local function holder_of(prefix, id)
  local holder = redis.call('HGET', prefix .. 'holders', id)
  if not holder then
    return '', ''
  end
  local ruled
  if string.byte(holder) == 33 then
    ruled, holder = string.sub(holder, 2, 10), string.sub(holder, 11)
  end
  local slash = string.find(holder, '/', 1, true)
  return string.sub(holder, 1, slash - 1), string.sub(holder, slash + 1), ruled
end
