-- @include states
-- @include record
-- @include facts

-- Deletes `job`, which no index that retention goes by knows any more, and the pointer to it if its id names another
-- partition.
local function forget(prefix, id)
  redis.call('DEL', prefix .. 'j:' .. id)
  local tag = string.sub(id, -2)
  if tag ~= string.sub(prefix, 6, 7) then
    redis.call('DEL', 'ojs:{' .. tag .. '}:at:' .. id)
  end
  if job.state == CANCELLED then
    redis.call('ZREM', prefix .. 'cancelled:' .. job.queue, id)
  end
  if job.links then
    links().move(id, job.state)
  end
  count_change(prefix, job.queue, job.state)
end
