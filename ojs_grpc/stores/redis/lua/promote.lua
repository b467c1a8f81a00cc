-- Makes jobs available whose time has come, earliest first, and opens what waited for a limit until now.
--
-- KEYS      due of every partition
-- ARGV[1]   now
-- ARGV[2]   at most so many jobs
-- ARGV[3]   the calling process
-- ARGV[4]   1 to log events, else 0
--
-- Result: how many became available; when to look again, false if nothing waits for a time; the names of queues that
-- may have jobs to claim now.

-- @include states
-- @include record
-- @include earliest
-- @include conclude

local now, left, count = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
is_logging = ARGV[4] == '1'

local function promote(prefix, id)
  later('ZREM', prefix .. 'due', id)
  local key = prefix .. 'j:' .. id
  local head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
  if head == '' then
    return
  end
  decode(head, key)
  count_change(prefix, job.queue, job.state)
  if job.links then
    links().move(id, job.state, AVAILABLE, now)
  end
  job.state, job.enqueued_at, job.due_at = AVAILABLE, now, 0
  redis.call('SETRANGE', key, 0, encode())
  line_up(prefix, job.queue, job.rank, id, job.links)
  log_job(prefix, key, head, JOB_ENQUEUED, 0, '')
  count = count + 1
end

watch(KEYS)
while left > 0 do
  local prefix, id = next_until(now)
  if not id then
    break
  end
  left = left - 1
  promote(prefix, id)
end
local next_due, next_open = next_time(), false
if redis.call('EXISTS', 'ojs:{00}:reopen') == 1 then
  lanes().wake_in_time(now, ARGV[3])
  next_open = lanes().next_end()
end
if next_open and (not next_due or next_open < next_due) then
  next_due = next_open
end
return { count, next_due, conclude(now, ARGV[3]) }
