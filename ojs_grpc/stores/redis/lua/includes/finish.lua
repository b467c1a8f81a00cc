-- @include states
-- @include record
-- @include later
-- @include facts

-- Lists `job`, which has just become terminal, where retention and operators find it, and takes it out of the TTL index.
local function finish(prefix, id, now)
  job.ended_at = now
  job.due_at = 0
  if job.expires_at > 0 and job.started_at == 0 then
    later('ZREM', prefix .. 'ttl', id)
  end
  if job.state ~= DISCARDED then
    later('RPUSH', prefix .. 'done:' .. job.queue, id)
    if job.state == CANCELLED then
      later('ZADD', prefix .. 'cancelled:' .. job.queue, now, id)
    end
  elseif job.dead == 0 then
    later('ZADD', prefix .. 'discarded:' .. job.queue, now, id)
  else
    later('ZADD', prefix .. 'dead:' .. job.queue, now, id)
  end
end
