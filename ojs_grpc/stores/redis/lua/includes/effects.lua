-- What the caller of a script, and other processes, are told of its effects.

-- 1 if jobs of workflows ended; the queues that may have jobs to claim now.
local ended, opened = 0, {}
-- Whether jobs came to lanes or left them, or leases under limits ended.
local uses_lanes = false
-- Whether anybody but the caller listens. A process that is alone would pay more for hearing itself than for all else.
local others

-- Tells every process that a queue may have jobs now, but for the caller, who is told by the script's result.
local function announce(queue, process)
  if others == nil then
    others = redis.call('PUBSUB', 'NUMSUB', 'ojs:ready')[2] > 1
  end
  if others then
    redis.call('PUBLISH', 'ojs:ready', process .. ' ' .. queue)
  end
end

local function opened_queues()
  local names = {}
  for queue in pairs(opened) do
    names[#names + 1] = queue
  end
  return names
end
