-- Deletes a job that no index knows any more, and the pointer to it if its id names another partition.
local function forget(prefix, id)
  redis.call('DEL', prefix .. 'j:' .. id)
  local tag = string.sub(id, -2)
  if tag ~= string.sub(prefix, 6, 7) then
    redis.call('DEL', 'ojs:{' .. tag .. '}:at:' .. id)
  end
end
