-- @include holder
-- @include later
-- @include facts
-- @module lanes

-- Forgets the lease of `job`, and tells the process that streams it unless it is the caller.
local function end_lease(prefix, id, process)
  local holder, worker, ruled = holder_of(prefix, id)
  later('ZREM', prefix .. 'active', id)
  later('HDEL', prefix .. 'holders', id)
  if worker ~= '' then
    later('SREM', prefix .. 'held:' .. worker, id)
  end
  if ruled or job.links then
    lanes().stop_using(id, ruled)
  end
  if holder ~= '' and holder ~= process then
    redis.call('PUBLISH', 'ojs:released:' .. holder, id)
  end
end
