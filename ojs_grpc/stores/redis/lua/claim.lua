-- Leases available jobs to free slots, and remembers for how long as the answer may be lost (`unanswered`).
--
-- KEYS[1]   claimed:<process>
-- KEYS[2..] demand by demand: ready:<queue> for each of its queues
-- ARGV[1]   now
-- ARGV[2]   after how many ms without a heartbeat a worker is dead
-- ARGV[3]   a number that grows with each claim of the process; a claim with an older one came too late
-- ARGV[4]   1 if the answer to an earlier claim was lost, whose memory must be kept, else 0
-- ARGV[5]   how many ms to remember
-- ARGV[6]   lease at most so many jobs
-- ARGV[7]   1 to log events, else 0
-- ARGV[8]   the limits of queues that have one, as in includes/limits.lua
-- ARGV[9..] demand by demand: visibility_ms, 0 for each job's own; max_bytes; the bytes already given; the process, ''
--           unless it streams the jobs; the number of queues; the number of slots; the worker of each slot
--
-- Result, empty if the claim came too late: for each demand a list: 1 if its queues hold nothing more for it, 2 if this
-- claim did enough before the demand was served, else 0; then for each lease its slot (from 1), the job's id, its record
-- before, and what that begins with from now on. Last come the names of queues whose limits have ended.

-- @include states
-- @include record
-- @include later
-- @include beat
-- @include effects
-- @include facts
-- @include log
-- @module lanes

local WORKER_STATE_QUIET = 2
-- A delivery shows times, a lease and the worker that its record does not have in this form.
local OVERLAY_SIZE = 80
-- What it costs to pass over an expired job, and to lease one where limits count, where 1 is to lease any other.
local PASSING_COST, LIMITED_COST = 0.25, 2

local now, silence_ms, nonce = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local memory = redis.call('GET', KEYS[1])
if memory and nonce <= tonumber(string.match(memory, '^%d+')) then
  return {}
end
-- For each lot of jobs a line: the claim's number, their prefix, their first and last lease, their ids.
local memories, room, passed = {}, tonumber(ARGV[6]), 0
-- The limits of queues by key, as lists of one.
local rules = {}
is_logging = ARGV[7] == '1'

-- The slots that may be filled, and of their workers the last heartbeat and the entry in `holders`.
local function open_slots(prefix, process, first, last)
  local slots, beats, holders, states = {}, {}, {}, {}
  for place = first, last do
    local worker = ARGV[place]
    if not states[worker] then
      beats[worker], states[worker] = last_beat(prefix, worker)
      holders[worker] = process .. '/' .. worker
    end
    if states[worker] < WORKER_STATE_QUIET then
      slots[#slots + 1] = place
    end
  end
  return slots, beats, holders
end

-- Leases `job` to a worker, under a limit of its queue if there is one; the beginning of its new header.
local function lease_to(demand, key, id, worker, rule)
  local prefix = demand.prefix
  if job.started_at == 0 and job.expires_at > 0 then
    later('ZREM', prefix .. 'ttl', id)
  end
  job.state, job.attempt, job.lease, job.started_at = ACTIVE, job.attempt + 1, demand.lease, now
  job.due_at = now + (demand.visibility_ms > 0 and demand.visibility_ms or job.visibility_ms)
  local changing = encode()
  redis.call('SETRANGE', key, 0, changing)
  later('ZADD', prefix .. 'active', wake_time(demand.beats[worker], silence_ms, now), id)
  local holder = demand.holders[worker]
  later('HSET', prefix .. 'holders', id, rule and '!' .. rule[1].prefix .. holder or holder)
  if worker ~= '' then
    later('SADD', prefix .. 'held:' .. worker, id)
  end
  if job.links then
    links().move(id, AVAILABLE, ACTIVE, now)
  end
  demand.waits = demand.waits + math.max(now - job.enqueued_at, 0)
  return changing
end

-- Gives the demand a job; false if it weighs too much.
local function give(demand, key, id, record, rule)
  local slot = demand.slots[demand.filled + 1]
  local worker = ARGV[slot]
  local size = #record - HEADER_SIZE + OVERLAY_SIZE + #worker
  if demand.bytes > 0 and demand.bytes + size > demand.max_bytes then
    demand.full = true
    return false
  end
  demand.filled, demand.bytes, demand.lease = demand.filled + 1, demand.bytes + size, demand.lease + 1
  local given = demand.given
  local place = #given
  given[place + 1], given[place + 2] = slot - demand.first_slot + 1, id
  given[place + 3], given[place + 4] = record, lease_to(demand, key, id, worker, rule)
  log_job(demand.prefix, key, record, JOB_STARTED, 0, worker)
  return true
end

-- Reads a job that is in line; false if it is gone, or expired before anybody got it.
local function read(key)
  local record = redis.call('GET', key)
  if record then
    decode(record, key)
  end
  return record and (job.expires_at == 0 or job.expires_at > now or job.started_at > 0) and record
end

-- Notes the claim of jobs of one queue.
local function note(demand, queue, first_lease, last_lease, ids)
  local prefix, facts = demand.prefix, facts_of(demand.prefix, queue)
  add(facts.all, 'active', #ids)
  add(facts.minute, 'claimed', #ids)
  add(facts.minute, 'wait', demand.waits)
  demand.waits = 0
  local line = string.format('\n%s %s %.0f %.0f ', ARGV[3], prefix, first_lease, last_lease)
  memories[#memories + 1] = line .. table.concat(ids, ' ')
end

-- Fills slots from the head of a queue without limits; false when nothing more can be filled from it in this claim.
local function take_some(demand, ready)
  demand.prefix = string.sub(ready, 1, 9)
  -- As many expired jobs as were in the way so far may still be.
  local most = math.min(math.max(#demand.slots - demand.filled, passed), math.ceil(room))
  local ids = redis.call('ZRANGE', ready, 0, most - 1)
  if #ids == 0 then
    return false
  end
  demand.lease = redis.call('INCRBY', demand.prefix .. 'lease', #ids) - #ids
  local first_lease = demand.lease + 1
  local gone, leased = {}, {}
  for _, id in ipairs(ids) do
    local key = demand.prefix .. 'j:' .. id
    local record = read(key)
    if not record then
      passed, room = passed + 1, room - PASSING_COST
    elseif demand.filled == #demand.slots or not give(demand, key, id, record) then
      break
    else
      leased[#leased + 1] = id
      room = room - 1
    end
    gone[#gone + 1] = id
  end
  send('ZREM', ready, gone)
  if #leased > 0 then
    note(demand, string.sub(ready, 16), first_lease, demand.lease, leased)
  end
  return not demand.full and demand.filled < #demand.slots and room > 0
end

-- @module limited

local function paused(prefix, queue)
  return redis.call('SISMEMBER', prefix .. 'paused', queue) == 1
end

-- Whether limits count in a queue: its own, or those of its jobs, some of which may have waited until now.
local function has_limits(prefix, queue)
  local lanes_of_queue = prefix .. 'lanes:' .. queue
  if redis.call('EXISTS', lanes_of_queue, 'ojs:{00}:reopen') > 0 then
    lanes().wake_in_time(now, string.sub(KEYS[1], 18))
    return redis.call('EXISTS', lanes_of_queue) == 1 or ARGV[8] ~= '' and limited().has_rule(queue)
  end
  return ARGV[8] ~= '' and limited().has_rule(queue)
end

local function take_all(demand, ready)
  local prefix, queue = string.sub(ready, 1, 9), string.sub(ready, 16)
  if paused(prefix, queue) then
    return
  elseif has_limits(prefix, queue) then
    while limited().take_one(demand, prefix, queue) do end
  else
    while take_some(demand, ready) do end
  end
end

-- Whether no queue from this one on can give the demand anything.
local function drained(first, last)
  for place = first, last do
    local prefix, queue = string.sub(KEYS[place], 1, 9), string.sub(KEYS[place], 16)
    if redis.call('EXISTS', KEYS[place], prefix .. 'lanes:' .. queue) > 0 and not paused(prefix, queue)
      and not (ARGV[8] ~= '' and limited().limited(prefix, queue)) then
      return false
    end
  end
  return true
end

local function serve(demand, first_queue, last_queue)
  local queue = first_queue
  while queue <= last_queue and #demand.slots > demand.filled and not demand.full and room > 0 do
    take_all(demand, KEYS[queue])
    queue = queue + 1
  end
  if room <= 0 and #demand.slots > demand.filled and not demand.full then
    demand.given[1] = 2
  elseif not demand.full and drained(first_queue, last_queue) then
    demand.given[1] = 1
  end
end

local result, arg, key = {}, 9, 2
while ARGV[arg] do
  local queues, slots = tonumber(ARGV[arg + 4]), tonumber(ARGV[arg + 5])
  local demand = {
    visibility_ms = tonumber(ARGV[arg]), max_bytes = tonumber(ARGV[arg + 1]), bytes = tonumber(ARGV[arg + 2]),
    first_slot = arg + 6, filled = 0, given = { 0 }, waits = 0,
  }
  demand.slots, demand.beats, demand.holders
    = open_slots(string.sub(KEYS[key], 1, 9), ARGV[arg + 3], arg + 6, arg + 5 + slots)
  serve(demand, key, key + queues - 1)
  result[#result + 1] = demand.given
  arg, key = arg + 6 + slots, key + queues
end
send_all()
write_facts(now)
write_log(now)
if #memories > 0 then
  local kept = ARGV[4] == '1' and memory and string.match(memory, '\n.*$') or ''
  memory = ARGV[3] .. kept .. table.concat(memories)
  redis.call('SET', KEYS[1], memory, 'PX', ARGV[5])
end
result[#result + 1] = opened_queues()
return result
