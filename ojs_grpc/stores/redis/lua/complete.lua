-- Completes jobs for those who hold them.
--
-- KEYS      the key that each job's id gives
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3..] job by job: the lease, 0 if not given; the worker, '' if not given; what to append to the job's tail
--
-- Result: for each job false if it is completed, else its state (0: there is no such job), lease and worker.

-- @include states
-- @include find
-- @include lease
-- @include finish

-- A value this short is written anew, because Redis doubles the room of one that it appends to.
local SHORT = 16384

local now, process = tonumber(ARGV[1]), ARGV[2]

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

local function write(key, tail)
  local changing = encode()
  if tail ~= '' and job.envelope_size < SHORT then
    redis.call('SET', key, changing .. redis.call('GETRANGE', key, #changing, -1) .. tail)
    return
  end
  redis.call('SETRANGE', key, 0, changing)
  if tail ~= '' then
    redis.call('APPEND', key, tail)
  end
end

local function complete(name, lease, worker, tail)
  local key, prefix, id, head = find(name)
  if not key then
    return { 0, 0, '' }
  end
  decode(head)
  local _, holder = '', ''
  if job.state == ACTIVE and lease ~= job.lease then
    _, holder = holder_of(prefix, id)
  end
  if not holds(lease, worker, holder) then
    return { job.state, job.lease, holder }
  end
  if job.state == ACTIVE then
    end_lease(prefix, id, process)
  else
    later('ZREM', prefix .. 'ready:' .. job.queue, id)
  end
  job.state = COMPLETED
  finish(prefix, id, now)
  write(key, tail)
  return false
end

local result = {}
for place, name in ipairs(KEYS) do
  result[place] = complete(name, tonumber(ARGV[3 * place]), ARGV[3 * place + 1], ARGV[3 * place + 2])
end
send_all()
return result
