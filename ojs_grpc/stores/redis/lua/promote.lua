-- Makes jobs available whose time has come, earliest first.
--
-- KEYS      due of every partition
-- ARGV[1]   now
-- ARGV[2]   at most so many
-- ARGV[3]   the calling process
--
-- Result: how many became available; when the next one is due, false if none is; the names of their queues.

-- @include states
-- @include record
-- @include earliest
-- @include ready

local now, left, count = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
watch(KEYS)
while left > 0 do
  local prefix, id = next_until(now)
  if not id then
    break
  end
  left = left - 1
  later('ZREM', prefix .. 'due', id)
  local key = prefix .. 'j:' .. id
  local head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
  if head ~= '' then
    decode(head)
    job.state, job.enqueued_at, job.due_at = AVAILABLE, now, 0
    redis.call('SETRANGE', key, 0, encode())
    line_up(prefix, job.queue, job.rank, id)
    count = count + 1
  end
end
send_all()
return { count, next_time(), unpack(open_lines(ARGV[3])) }
