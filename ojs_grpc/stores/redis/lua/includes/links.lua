-- @include states
-- @include effects

-- What ties a job to others. Of unique jobs there is for each fingerprint and state a sorted set of ids by time of
-- creation.

local TERMINAL = { [COMPLETED] = true, [CANCELLED] = true, [DISCARDED] = true }

-- A job's workflow, its fingerprint in hex and its limits (as in limits.lua), each '' for none; and when it was created.
local function read_links(text)
  local workflow_size, fingerprint_size, created_at, at = struct.unpack('<BBi8', text)
  local limits_at = at + workflow_size + fingerprint_size
  return {
    workflow_id = string.sub(text, at, at + workflow_size - 1),
    fingerprint = string.sub(text, at + workflow_size, limits_at - 1),
    limits = string.sub(text, limits_at),
    created_at = created_at,
  }
end

-- The jobs with a fingerprint in a state.
local function twins(fingerprint, state)
  return 'ojs:{' .. string.sub(fingerprint, 1, 2) .. '}:unique:' .. fingerprint .. ':' .. state
end

local function move_twin(id, from, to)
  local fingerprint = job.links.fingerprint
  if from then
    redis.call('ZREM', twins(fingerprint, from), id)
  end
  if to then
    redis.call('ZADD', twins(fingerprint, to), job.links.created_at, id)
  end
end

-- Notes what follows for others when `job`, which has links, goes from one state to another; nil: it was, or will be,
-- not there.
local function move(id, from, to, now)
  if job.links.fingerprint ~= '' then
    move_twin(id, from, to)
  end
  if job.links.workflow_id ~= '' and TERMINAL[to] and not TERMINAL[from] then
    local prefix = 'ojs:{' .. string.sub(id, -2) .. '}:'
    redis.call('ZADD', prefix .. 'ended', now, to .. ' ' .. id .. ' ' .. job.links.workflow_id)
    ended = 1
  end
end

return { read_links = read_links, twins = twins, move = move }
