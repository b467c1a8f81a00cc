-- @include states
-- @include conclude

-- Bounded queues: how many jobs one holds that are available, scheduled or retryable.

local COUNTED = { [AVAILABLE] = true, [SCHEDULED] = true, [RETRYABLE] = true }
-- Of queues the bounds, 0 for none, and what they hold, as far as it was asked for.
local bounds, depths = {}, {}
local default_bound = 0

-- Takes the bounds of so many queues from the arguments; where these end.
local function read_bounds(default, count, arg)
  default_bound = default
  for place = arg, arg + 2 * count - 1, 2 do
    bounds[ARGV[place]] = tonumber(ARGV[place + 1])
  end
  return arg + 2 * count
end

local function depth_of(prefix, queue, now, process)
  if not depths[queue] then
    catch_up(process)
    write_facts(now)
    local counts = redis.call('HMGET', prefix .. 'facts:' .. queue, 'scheduled', 'retryable')
    depths[queue] = redis.call('ZCARD', prefix .. 'ready:' .. queue)
      + redis.call('ZCARD', prefix .. 'limited:' .. queue) + tonumber(counts[1] or 0) + tonumber(counts[2] or 0)
  end
  return depths[queue]
end

-- Adds to `growth` what a job's change means for the depth of its queue; nil: it was not there.
local function grow(growth, prefix, queue, from, to)
  if (bounds[queue] or default_bound) > 0 then
    growth[queue] = growth[queue] or { prefix = prefix, jobs = 0 }
    growth[queue].jobs = growth[queue].jobs + (COUNTED[to] and 1 or 0) - (COUNTED[from] and 1 or 0)
  end
end

-- Why there is no room for some growth: `<depth> <bound> <queue>`; nil if there is.
local function overflow(growth, now, process)
  for queue, more in pairs(growth) do
    local depth = depth_of(more.prefix, queue, now, process)
    local bound = bounds[queue] or default_bound
    if more.jobs > 0 and depth + more.jobs > bound then
      return string.format('%.0f %.0f %s', depth, bound, queue)
    end
  end
end

local function note_growth(growth)
  for queue, more in pairs(growth) do
    depths[queue] = depths[queue] + more.jobs
  end
end

return { read_bounds = read_bounds, grow = grow, overflow = overflow, note_growth = note_growth }
