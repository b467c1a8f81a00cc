-- Deletes a dead letter.
--
-- KEYS[1]   the key that its id gives
-- ARGV[1]   now
-- ARGV[2]   1 to log events, else 0
--
-- Result: 1, or 0 if this job is no dead letter.

-- @include states
-- @include find
-- @include forget
-- @include log

is_logging = ARGV[2] == '1'
local key, prefix, id, head = find(KEYS[1])
if key then
  decode(head, key)
end
if not key or job.state ~= DISCARDED or job.dead == 0 then
  return 0
end
redis.call('ZREM', prefix .. 'dead:' .. job.queue, id)
log_job(prefix, key, head, DEAD_LETTER_DELETED, 0, '')
forget(prefix, id)
write_facts(tonumber(ARGV[1]))
write_log(tonumber(ARGV[1]))
return 1
