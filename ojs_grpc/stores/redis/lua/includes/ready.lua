-- @include later
-- @include effects
-- @include facts
-- @module lanes

-- Priority first, then the order of becoming available: rank (100 - priority, 0 to 200) and a sequence number make one
-- exact double.
local PRIORITY_STEP = 2 ^ 44
local lines = {}

-- Puts a job at the end of its priority in its queue, once `open_lines` is called; `links` as of `job`.
local function line_up(prefix, queue, rank, id, links)
  local line = lines[queue]
  if not line then
    line = { prefix = prefix, ids = {}, ranks = {} }
    lines[queue] = line
  end
  local place = #line.ids + 1
  line.ids[place] = id
  line.ranks[place] = rank
  if links and links.limits ~= '' then
    line.limits = line.limits or {}
    line.limits[place] = links.limits
  end
end

-- The members of a queue's line, and of its lanes by limits, as ZADD takes them.
local function members_of(line, sequence)
  local main, laned, limits = {}, {}, line.limits or {}
  for place, id in ipairs(line.ids) do
    local members = main
    if limits[place] then
      members = laned[limits[place]] or {}
      laned[limits[place]] = members
    end
    local size = #members
    members[size + 1] = line.ranks[place] * PRIORITY_STEP + sequence + place
    members[size + 2] = id
  end
  return main, laned
end

-- Makes available what was lined up, and tells every process which queues were empty before; `process` is the caller.
local function open_lines(process)
  for queue, line in pairs(lines) do
    local ready = line.prefix .. 'ready:' .. queue
    local count = #line.ids
    local sequence = redis.call('INCRBY', line.prefix .. 'seq', count) - count
    local main, by_limits = members_of(line, sequence)
    send('ZADD', ready, main)
    local was_empty = #main > 0 and redis.call('ZCARD', ready) == #main / 2
    for limits, members in pairs(by_limits) do
      was_empty = lanes().add_to_lane(line.prefix, queue, limits, members) or was_empty
    end
    if was_empty then
      announce(queue, process)
    end
    opened[queue] = true
  end
  lines = {}
end

-- Takes `job`, which is available, out of its line.
local function leave_line(prefix, id)
  if job.links and job.links.limits ~= '' then
    lanes().leave_lane(prefix, job.queue, job.links.limits, id)
  else
    later('ZREM', prefix .. 'ready:' .. job.queue, id)
  end
end
