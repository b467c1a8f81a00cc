-- @include states
-- @include find
-- @include ready
-- @include lease
-- @include finish
-- @include log

-- Decided changes. One is ten arguments: the state and the lease that the job must have; '', or the time that its
-- wake-up time must not be later than; the next state; attempt; due_at; dead, 0 or 1; fence, 0 or 1; tail; its events,
-- each a kind, the size of its detail, and the detail.
local CHANGE_SIZE = 10

-- Reads the job of a change, and says whether the change's precondition holds.
local function may_change(key, prefix, id, head, arg)
  decode(head, key)
  if job.state ~= tonumber(ARGV[arg]) or job.lease ~= tonumber(ARGV[arg + 1]) then
    return false
  end
  local overdue_at = ARGV[arg + 2]
  if overdue_at == '' then
    return true
  end
  local wake_at = redis.call('ZSCORE', prefix .. 'active', id)
  return wake_at and tonumber(wake_at) <= tonumber(overdue_at)
end

-- Takes `job` out of the index that its present state keeps it in.
local function leave(prefix, id, process)
  if job.state == AVAILABLE then
    leave_line(prefix, id)
  elseif job.state == SCHEDULED or job.state == RETRYABLE then
    later('ZREM', prefix .. 'due', id)
  elseif job.state == ACTIVE then
    end_lease(prefix, id, process)
  elseif job.state == PENDING then
    later('ZREM', prefix .. 'pending:' .. job.queue, id)
  else
    later('ZREM', prefix .. (job.dead == 1 and 'dead:' or 'discarded:') .. job.queue, id)
  end
end

local function enter(prefix, id, due_at, now)
  job.due_at, job.ended_at = 0, 0
  if job.state == AVAILABLE then
    job.enqueued_at = now
    line_up(prefix, job.queue, job.rank, id, job.links)
  elseif job.state == SCHEDULED or job.state == RETRYABLE then
    job.due_at = due_at
    later('ZADD', prefix .. 'due', due_at, id)
  elseif job.state == PENDING then
    later('ZADD', prefix .. 'pending:' .. job.queue, now, id)
  else
    finish(prefix, id, now)
  end
end

-- Logs and counts what a change tells.
local function tell(prefix, key, head, facts, events)
  local at = 1
  while at <= #events do
    local kind, size
    kind, size, at = struct.unpack('<BI4', events, at)
    log_job(prefix, key, head, kind, 0, string.sub(events, at, at + size - 1))
    at = at + size
    if kind == JOB_FAILED then
      add(facts.minute, 'failed', 1)
    end
  end
  if job.state == AVAILABLE then
    log_job(prefix, key, head, JOB_ENQUEUED, 0, '')
  end
end

-- Applies a change to `job`, just read by `may_change`; its record afterwards.
local function change(key, prefix, id, head, arg, now, process)
  local from = job.state
  leave(prefix, id, process)
  job.state, job.attempt, job.dead = tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4]), tonumber(ARGV[arg + 6])
  if ARGV[arg + 7] == '1' then
    job.lease = redis.call('INCR', prefix .. 'lease')
  end
  enter(prefix, id, tonumber(ARGV[arg + 5]), now)
  if job.links then
    links().move(id, from, job.state, now)
  end
  tell(prefix, key, head, count_change(prefix, job.queue, from, job.state), ARGV[arg + 9])
  local changing = encode()
  local said = part(key, head, #changing, envelope_at() + job.envelope_size - #changing)
  local record = changing .. said .. ARGV[arg + 8]
  redis.call('SET', key, record)
  return record
end
