-- @include record
-- @include later

-- Who holds an active job: the process that streams it (empty: none does) and the worker.
local function holder_of(prefix, id)
  local holder = redis.call('HGET', prefix .. 'holders', id)
  if not holder then
    return '', ''
  end
  local slash = string.find(holder, '/', 1, true)
  return string.sub(holder, 1, slash - 1), string.sub(holder, slash + 1)
end

-- Forgets a lease, and tells the process that streams the job unless it is the caller.
local function end_lease(prefix, id, process)
  local holder, worker = holder_of(prefix, id)
  later('ZREM', prefix .. 'active', id)
  later('HDEL', prefix .. 'holders', id)
  if worker ~= '' then
    later('SREM', prefix .. 'held:' .. worker, id)
  end
  if holder ~= '' and holder ~= process then
    redis.call('PUBLISH', 'ojs:released:' .. holder, id)
  end
end

-- When the worker last sent a heartbeat (nil: never) and the state that it reported.
local function last_beat(prefix, worker)
  local beat = worker ~= '' and redis.call('GET', prefix .. 'beat:' .. worker)
  if not beat then
    return nil, 0
  end
  return struct.unpack('<i8B', beat)
end

-- When `job`, an active one, has to be looked at: its lease ends, it runs too long, or its worker, who was alive at
-- `beat`, has been silent for too long. A worker that fell silent before counts as one that never beat.
local function wake_time(beat, silence_ms, now)
  local wake = math.min(job.due_at, job.started_at + job.timeout_ms)
  if beat and now - beat < silence_ms then
    wake = math.min(wake, beat + silence_ms)
  end
  return wake
end
