-- Deletes finished jobs.
--
-- KEYS      the key that each job's id gives
-- ARGV[1]   now
-- ARGV[2]   1 to log events, else 0
--
-- Result: 1 for each that was deleted, 0 for one that is not there or not finished.

-- @include states
-- @include find
-- @include later
-- @include forget
-- @include log

is_logging = ARGV[2] == '1'

-- Takes `job` out of where retention finds it. To look for it in the list would be long, so that it stays there.
local function leave(prefix, id)
  if job.state ~= DISCARDED then
    add(facts_of(prefix, job.queue).all, 'gone', 1)
  elseif job.dead == 1 then
    later('ZREM', prefix .. 'dead:' .. job.queue, id)
  else
    later('ZREM', prefix .. 'discarded:' .. job.queue, id)
  end
end

local function delete(name)
  local key, prefix, id, head = find(name)
  if not key then
    return 0
  end
  decode(head, key)
  if job.state ~= COMPLETED and job.state ~= CANCELLED and job.state ~= DISCARDED then
    return 0
  end
  leave(prefix, id)
  if job.dead == 1 then
    log_job(prefix, key, head, DEAD_LETTER_DELETED, 0, '')
  end
  forget(prefix, id)
  return 1
end

local result = {}
for place, name in ipairs(KEYS) do
  result[place] = delete(name)
end
send_all()
write_facts(tonumber(ARGV[1]))
write_log(tonumber(ARGV[1]))
return result
