-- @include record

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
