-- Takes a worker's sign of life in every partition where it claims, and extends leases.
--
-- KEYS      with a worker: beat:<worker> of each of these partitions, then places:<worker>; with a named job: the key
--           that its id gives, last
-- ARGV[1]   now
-- ARGV[2]   after how many ms without a heartbeat a worker is dead
-- ARGV[3]   the worker, '' if not given
-- ARGV[4]   the state that it reports
-- ARGV[5]   how many ms to remember the beat
-- ARGV[6]   extend_ms, 0 for each job's visibility time
-- ARGV[7]   1 if a job is named, else 0
-- ARGV[8]   the lease it must have, 0 if not given
-- ARGV[9]   1 to log events, else 0
--
-- Result: false, or why the named job was refused: its state (0: there is no such job), lease and worker; then id and
-- new deadline of each job that was extended.

-- @include states
-- @include find
-- @include holder
-- @include beat
-- @include later
-- @include log
-- @include known

local now, silence_ms, worker = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local extend_ms, named = tonumber(ARGV[6]), ARGV[7] == '1' and KEYS[#KEYS]
local result = { false }
is_logging = ARGV[9] == '1'

local function extend(key, prefix, id, head, by, beat)
  decode(head)
  job.due_at = now + (by > 0 and by or job.visibility_ms)
  redis.call('SETRANGE', key, DUE_AT, struct.pack('<i8', job.due_at))
  later('ZADD', prefix .. 'active', wake_time(beat, silence_ms, now), id)
  result[#result + 1] = id
  result[#result + 1] = job.due_at
end

-- Everything that the worker holds in one partition, apart from the named job if it is extended already.
local function extend_held(prefix, by)
  for _, id in ipairs(redis.call('SMEMBERS', prefix .. 'held:' .. worker)) do
    if id ~= result[2] then
      local key = prefix .. 'j:' .. id
      extend(key, prefix, id, redis.call('GETRANGE', key, 0, HEAD_SIZE - 1), by, now)
    end
  end
end

local function extend_named(lease)
  local key, prefix, id, head = find(named)
  if not key then
    return { 0, 0, '' }
  end
  decode(head)
  local holder = ''
  if job.state == ACTIVE then
    holder = select(2, holder_of(prefix, id))
  end
  local foreign = worker ~= '' and holder ~= '' and worker ~= holder
  if job.state ~= ACTIVE or foreign or lease > 0 and lease ~= job.lease then
    return { job.state, job.lease, holder }
  end
  extend(key, prefix, id, head, extend_ms, (last_beat(prefix, holder)))
  log_job(prefix, key, head, JOB_HEARTBEAT, job.due_at, holder ~= '' and holder or worker)
  return false
end

local beats = worker ~= '' and #KEYS - (named and 2 or 1) or 0
for place = 1, beats do
  redis.call('SET', KEYS[place], struct.pack('<i8B', now, tonumber(ARGV[4])), 'PX', ARGV[5])
end
if named then
  result[1] = extend_named(tonumber(ARGV[8]))
end
for place = 1, beats do
  extend_held(string.sub(KEYS[place], 1, 9), named and 0 or extend_ms)
end
if beats > 0 then
  redis.call('PEXPIRE', KEYS[beats + 1], ARGV[5])
  know(worker, now, ARGV[5])
end
send_all()
write_log(now)
return result
