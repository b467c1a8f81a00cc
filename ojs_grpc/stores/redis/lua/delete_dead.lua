-- Deletes a dead letter.
--
-- KEYS[1]   the key that its id gives
--
-- Result: 1, or 0 if this job is no dead letter.

-- @include states
-- @include find
-- @include forget

local key, prefix, id, head = find(KEYS[1])
if key then
  decode(head)
end
if not key or job.state ~= DISCARDED or job.dead == 0 then
  return 0
end
redis.call('ZREM', prefix .. 'dead:' .. job.queue, id)
forget(prefix, id)
return 1
