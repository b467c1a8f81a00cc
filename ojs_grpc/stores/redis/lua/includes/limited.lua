-- Claims from queues where limits count: claim.lua's rare part.

for _, limit in ipairs(lanes().limits_of(ARGV[8])) do
  rules[limit.key] = { limit }
end

local function has_rule(queue)
  return rules['queue:' .. queue] ~= nil
end

-- Whether a queue's own limit is used up; then the queue is told of when that ends.
local function limited(prefix, queue)
  local rule = rules['queue:' .. queue]
  local limit, time = lanes().blocking(rule or {}, now)
  if limit then
    lanes().wait_for(limit, lanes().line_of(prefix, queue, ''), time, now)
  end
  return limit ~= nil
end

-- The line and the limits from which the next job of a queue comes, if any; a lane that is blocked is shut.
local function next_line(prefix, queue)
  local ready = prefix .. 'ready:' .. queue
  while room > 0 do
    local main = redis.call('ZRANGE', ready, 0, 0, 'WITHSCORES')
    local lane = redis.call('ZRANGE', prefix .. 'lanes:' .. queue, 0, 0, 'WITHSCORES')
    if not lane[1] or main[1] and tonumber(main[2]) < tonumber(lane[2]) then
      return main[1] and ready, ''
    end
    local limit, time = lanes().blocking(lanes().limits_of(lane[1]), now)
    if not limit then
      return lanes().lane_of(prefix, queue, lane[1]), lane[1]
    end
    lanes().shut(prefix, queue, lane[1], lanes().wait_for(limit, lanes().line_of(prefix, queue, lane[1]), time, now))
    room = room - PASSING_COST
  end
end

-- Counts the claim of a job against its own limits and that of its queue; a key that is in both counts once.
local function use_both(limits, rule, id)
  lanes().use(lanes().limits_of(limits), id, now)
  for _, limit in ipairs(lanes().limits_of(limits)) do
    if rule and limit.key == rule[1].key then
      rule = nil
    end
  end
  lanes().use(rule or {}, id, now)
end

-- Fills one slot from a queue where limits count; false when nothing more can be filled from it in this claim.
local function take_one(demand, prefix, queue)
  local rule = rules['queue:' .. queue]
  if limited(prefix, queue) then
    return false
  end
  local line, limits = next_line(prefix, queue)
  if not line then
    return false
  end
  local id = redis.call('ZRANGE', line, 0, 0)[1]
  local key = prefix .. 'j:' .. id
  local record = read(key)
  demand.prefix = prefix
  if not record then
    room = room - PASSING_COST
  else
    demand.lease = redis.call('INCR', prefix .. 'lease') - 1
    if not give(demand, key, id, record, rule) then
      return false
    end
    use_both(limits, rule, id)
    note(demand, queue, demand.lease, demand.lease, { id })
    room = room - LIMITED_COST
  end
  if limits == '' then
    redis.call('ZREM', line, id)
  else
    lanes().leave_lane(prefix, queue, limits, id)
    lanes().settle_lanes()
  end
  return demand.filled < #demand.slots and room > 0
end

return { has_rule = has_rule, limited = limited, take_one = take_one }
