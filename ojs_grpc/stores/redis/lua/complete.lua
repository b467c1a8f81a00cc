-- Completes jobs for those who hold them.
--
-- KEYS      the key that each job's id gives
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3]   1 to log events, else 0
-- ARGV[4..] job by job: the lease, 0 if not given; the worker, '' if not given; what to append to the job's tail
--
-- Result: 1 if jobs of workflows ended, else 0; the names of queues that may have jobs to claim now; then for each job
-- false if it is completed, else its state (0: there is no such job), lease and worker.

-- @include states
-- @include find
-- @include lease
-- @include finish
-- @include conclude

-- A value this short is written anew, because Redis doubles the room of one that it appends to.
local SHORT = 16384
-- core.events.MOST_DETAIL_BYTES
local MOST_DETAIL = 65536

local now, process = tonumber(ARGV[1]), ARGV[2]
-- By queue.
local completed = {}
is_logging = ARGV[3] == '1'

local function holds(lease, worker, holder)
  if job.state == ACTIVE then
    if lease > 0 then
      return lease == job.lease
    end
    return worker == '' or holder == '' or worker == holder
  end
  -- Late: the lease is over, but nobody got the job since, nor was the lease made stale.
  return job.state == AVAILABLE and lease > 0 and lease == job.lease
end

local function write(key, head, tail)
  local changing = encode()
  if tail ~= '' and #head < HEAD_SIZE then
    redis.call('SET', key, changing .. string.sub(head, #changing + 1) .. tail)
    return
  elseif tail ~= '' and job.envelope_size < SHORT then
    redis.call('SET', key, changing .. redis.call('GETRANGE', key, #changing, -1) .. tail)
    return
  end
  redis.call('SETRANGE', key, 0, changing)
  if tail ~= '' then
    redis.call('APPEND', key, tail)
  end
end

-- Counts the completion of `job`; `send_counts` passes it on.
local function count(prefix, from, took)
  local counts = completed[job.queue]
  if not counts then
    counts = { prefix = prefix, jobs = 0, active = 0, took = 0 }
    completed[job.queue] = counts
  end
  counts.jobs, counts.took = counts.jobs + 1, counts.took + took
  if from == ACTIVE then
    counts.active = counts.active + 1
  end
end

local function send_counts()
  for queue, counts in pairs(completed) do
    local facts = facts_of(counts.prefix, queue)
    add(facts.all, 'active', -counts.active)
    add(facts.all, 'completed', counts.jobs)
    add(facts.minute, 'completed', counts.jobs)
    add(facts.minute, 'duration', counts.took)
  end
end

local function complete(name, lease, worker, tail)
  local key, prefix, id, head = find(name)
  if not key then
    return { 0, 0, '' }
  end
  decode(head, key)
  local holder = ''
  if job.state == ACTIVE and lease ~= job.lease then
    holder = select(2, holder_of(prefix, id))
  end
  if not holds(lease, worker, holder) then
    return { job.state, job.lease, holder }
  end
  local from = job.state
  if from == ACTIVE then
    end_lease(prefix, id, process)
  else
    leave_line(prefix, id)
  end
  job.state = COMPLETED
  finish(prefix, id, now)
  if job.links then
    links().move(id, from, COMPLETED, now)
  end
  local took = math.max(now - job.started_at, 0)
  count(prefix, from, took)
  log_job(prefix, key, head, JOB_COMPLETED, took, #tail <= MOST_DETAIL and tail or '')
  write(key, head, tail)
  return false
end

local result = {}
for place, name in ipairs(KEYS) do
  result[place + 2] = complete(name, tonumber(ARGV[3 * place + 1]), ARGV[3 * place + 2], ARGV[3 * place + 3])
end
send_counts()
result[2] = conclude(now, process)
result[1] = ended
return result
