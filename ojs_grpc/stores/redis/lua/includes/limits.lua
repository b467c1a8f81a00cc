-- Limits on claims. As text a limit is a line `<partition> <concurrency> <claims> <period_ms> <key>`, where the
-- partition, that of the key's name, says where its use is kept: active jobs as a set, the last claims as a list.

-- How many claims of every key are remembered, and for how many ms; how long it is known that it must be more.
local FEW = '20 600000'
local WINDOW_KEPT_MS = 86400000
local REOPEN = 'ojs:{00}:reopen'
local parsed = {}
-- The sets of what waits for limits that a lease has left in this script.
local freed = {}

local function limits_of(text)
  local limits = parsed[text]
  if not limits then
    limits = {}
    for tag, concurrency, claims, period, key in string.gmatch(text, '(%x%x) (%d+) (%d+) (%d+) ([^\n]*)') do
      limits[#limits + 1] = {
        prefix = 'ojs:{' .. tag .. '}:', key = key,
        concurrency = tonumber(concurrency), claims = tonumber(claims), period = tonumber(period),
      }
    end
    parsed[text] = limits
  end
  return limits
end

-- The first limit that lets nothing through now, and until when, as far as that is a matter of time alone.
local function blocking(limits, now)
  local late, time = nil, now
  for _, limit in ipairs(limits) do
    local prefix = limit.prefix
    if limit.concurrency > 0 and redis.call('SCARD', prefix .. 'using:' .. limit.key) >= limit.concurrency then
      return limit
    end
    -- The claim that has to be a period ago.
    local claim = limit.claims > 0 and redis.call('LINDEX', prefix .. 'times:' .. limit.key, -limit.claims)
    if claim and tonumber(claim) + limit.period > time then
      late, time = limit, tonumber(claim) + limit.period
    end
  end
  return late, time
end

-- How many claims of a key are remembered, and for how long: a few in any case, and as many as anybody has asked about.
local function widen_window(limit)
  local window = limit.prefix .. 'window:' .. limit.key
  local claims, period = string.match(redis.call('GET', window) or FEW, '(%d+) (%d+)')
  claims, period = math.max(tonumber(claims), limit.claims), math.max(tonumber(period), limit.period)
  local text = string.format('%.0f %.0f', claims, period)
  if text ~= FEW then
    redis.call('SET', window, text, 'PX', period + WINDOW_KEPT_MS)
  end
  return claims, period
end

-- Counts a claim of a job.
local function use(limits, id, now)
  for _, limit in ipairs(limits) do
    local prefix = limit.prefix
    redis.call('SADD', prefix .. 'using:' .. limit.key, id)
    local claims, period = widen_window(limit)
    local times = prefix .. 'times:' .. limit.key
    redis.call('RPUSH', times, now)
    redis.call('LTRIM', times, -claims, -1)
    redis.call('PEXPIRE', times, period)
  end
end

local function leave_limit(prefix, key, id)
  uses_lanes = true
  redis.call('SREM', prefix .. 'using:' .. key, id)
  freed[prefix .. 'waiting:' .. key] = true
end

-- The lease of `job` is over; `ruled` is the prefix of its queue's limit if its claim counted there.
local function stop_using(id, ruled)
  if ruled then
    leave_limit(ruled, 'queue:' .. job.queue, id)
  end
  for _, limit in ipairs(limits_of(job.links and job.links.limits or '')) do
    leave_limit(limit.prefix, limit.key, id)
  end
end

-- Lets a lane, or a queue, wait for a limit; returns the set in which it waits.
local function wait_for(limit, line, time, now)
  local waiting = limit.prefix .. 'waiting:' .. limit.key
  redis.call('ZADD', waiting, 'NX', now, line)
  if time then
    redis.call('ZADD', REOPEN, 'LT', time, waiting)
  end
  return waiting
end
