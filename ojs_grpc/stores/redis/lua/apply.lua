-- Applies decided changes to jobs whose precondition holds.
--
-- KEYS      the key that each job's id gives
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3..] change by change: the state and the lease that the job must have; '', or the time that its wake-up time
--           must not be later than; the next state; attempt; due_at; dead, 0 or 1; fence, 0 or 1; tail
--
-- Result: each job's record afterwards, false if the change was not applied.

-- @include states
-- @include find
-- @include ready
-- @include lease
-- @include finish

local now, process = tonumber(ARGV[1]), ARGV[2]
local changed, result = {}, {}

-- Takes `job` out of the index that its present state keeps it in.
local function leave(prefix, id)
  if job.state == AVAILABLE then
    later('ZREM', prefix .. 'ready:' .. job.queue, id)
  elseif job.state == SCHEDULED or job.state == RETRYABLE then
    later('ZREM', prefix .. 'due', id)
  elseif job.state == ACTIVE then
    end_lease(prefix, id, process)
  elseif job.dead == 1 then
    later('ZREM', prefix .. 'dead:' .. job.queue, id)
  end
end

local function enter(prefix, id, due_at)
  job.due_at, job.ended_at = 0, 0
  if job.state == AVAILABLE then
    job.enqueued_at = now
    line_up(prefix, job.queue, job.rank, id)
  elseif job.state == SCHEDULED or job.state == RETRYABLE then
    job.due_at = due_at
    later('ZADD', prefix .. 'due', due_at, id)
  elseif job.state ~= PENDING then
    finish(prefix, id, now)
  end
end

local function apply(name, state, lease, overdue_at, to, attempt, due_at, dead, fence, tail)
  local key, prefix, id, head = find(name)
  if not key then
    return false
  end
  if changed[key] then
    -- What was noted for the job must be there before more is.
    send_all()
    open_lines(process)
  end
  decode(head)
  if job.state ~= tonumber(state) or job.lease ~= tonumber(lease) then
    return false
  end
  if overdue_at ~= '' then
    local wake = redis.call('ZSCORE', prefix .. 'active', id)
    if not wake or tonumber(wake) > tonumber(overdue_at) then
      return false
    end
  end
  leave(prefix, id)
  job.state, job.attempt, job.dead = tonumber(to), tonumber(attempt), tonumber(dead)
  if fence == '1' then
    job.lease = redis.call('INCR', prefix .. 'lease')
  end
  enter(prefix, id, tonumber(due_at))
  local changing = encode()
  local said_to = HEADER_SIZE + job.queue_size + job.envelope_size - 1
  local record = changing .. redis.call('GETRANGE', key, #changing, said_to) .. tail
  redis.call('SET', key, record)
  changed[key] = true
  return record
end

for place, name in ipairs(KEYS) do
  result[place] = apply(name, unpack(ARGV, 9 * place - 6, 9 * place + 2))
end
send_all()
open_lines(process)
return result
