-- @include later

-- Priority first, then the order of becoming available: rank (100 - priority, 0 to 200) and a sequence number make one
-- exact double.
local PRIORITY_STEP = 2 ^ 44
local lines = {}
-- Whether anybody but the caller listens. A process that is alone would pay more for hearing itself than for all else.
local others

-- Puts a job at the end of its priority in its queue, once `open_lines` is called.
local function line_up(prefix, queue, rank, id)
  local line = lines[queue]
  if not line then
    line = { prefix = prefix, ids = {}, ranks = {} }
    lines[queue] = line
  end
  local place = #line.ids + 1
  line.ids[place] = id
  line.ranks[place] = rank
end

-- Makes available what was lined up, and tells every process which queues were empty before; `process` is the caller,
-- which knows already. Returns the names of the queues.
local function open_lines(process)
  local queues = {}
  for queue, line in pairs(lines) do
    local ready = line.prefix .. 'ready:' .. queue
    local count = #line.ids
    local sequence = redis.call('INCRBY', line.prefix .. 'seq', count) - count
    local members = {}
    for place = 1, count do
      members[2 * place - 1] = line.ranks[place] * PRIORITY_STEP + sequence + place
      members[2 * place] = line.ids[place]
    end
    send('ZADD', ready, members)
    if others == nil then
      others = redis.call('PUBSUB', 'NUMSUB', 'ojs:ready')[2] > 1
    end
    if others and redis.call('ZCARD', ready) == count then
      redis.call('PUBLISH', 'ojs:ready', process .. ' ' .. queue)
    end
    queues[#queues + 1] = queue
  end
  lines = {}
  return queues
end
