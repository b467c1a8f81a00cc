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
-- ARGV[7..] demand by demand: visibility_ms, 0 for each job's own; max_bytes; the bytes already given; the process, ''
--           unless it streams the jobs; the number of queues; the number of slots; the worker of each slot
--
-- Result, empty if the claim came too late: for each demand a list: 1 if its queues hold nothing more for it, 2 if this
-- claim did enough before the demand was served, else 0; then for each lease its slot (from 1), the job's id, its record
-- before, and what that begins with from now on.

-- @include states
-- @include record
-- @include later
-- @include lease

local WORKER_STATE_QUIET = 2
-- A delivery shows times, a lease and the worker that its record does not have in this form.
local OVERLAY_SIZE = 80
-- What it costs to pass over an expired job, where 1 is to lease one.
local PASSING_COST = 0.25

local now, silence_ms, nonce = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local memory = redis.call('GET', KEYS[1])
if memory and nonce <= tonumber(string.match(memory, '^%d+')) then
  return {}
end
-- For each lot of jobs a line: the claim's number, their prefix, their first and last lease, their ids.
local memories, room, passed = {}, tonumber(ARGV[6]), 0

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

-- Leases `job` to a worker; the beginning of its new header.
local function lease_to(demand, key, id, worker)
  local prefix = demand.prefix
  if job.started_at == 0 and job.expires_at > 0 then
    later('ZREM', prefix .. 'ttl', id)
  end
  job.state, job.attempt, job.lease, job.started_at = ACTIVE, job.attempt + 1, demand.lease, now
  job.due_at = now + (demand.visibility_ms > 0 and demand.visibility_ms or job.visibility_ms)
  local changing = encode()
  redis.call('SETRANGE', key, 0, changing)
  later('ZADD', prefix .. 'active', wake_time(demand.beats[worker], silence_ms, now), id)
  later('HSET', prefix .. 'holders', id, demand.holders[worker])
  if worker ~= '' then
    later('SADD', prefix .. 'held:' .. worker, id)
  end
  return changing
end

-- Gives the demand a job; false if it weighs too much.
local function give(demand, key, id, record)
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
  given[place + 3], given[place + 4] = record, lease_to(demand, key, id, worker)
  return true
end

-- Fills slots from the head of one queue; false when nothing more can be filled from it in this claim.
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
    local record = redis.call('GET', key)
    if record then
      decode(record)
    end
    if not record or job.expires_at > 0 and job.expires_at <= now and job.started_at == 0 then
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
    local line = string.format('\n%s %s %.0f %.0f ', ARGV[3], demand.prefix, first_lease, demand.lease)
    memories[#memories + 1] = line .. table.concat(leased, ' ')
  end
  return not demand.full and demand.filled < #demand.slots and room > 0
end

local function paused(ready)
  return redis.call('SISMEMBER', string.sub(ready, 1, 9) .. 'paused', string.sub(ready, 16)) == 1
end

-- Whether no queue from this one on can give the demand anything.
local function drained(demand, first, last)
  for place = first, last do
    if redis.call('EXISTS', KEYS[place]) == 1 and not paused(KEYS[place]) then
      return false
    end
  end
  return true
end

local function serve(demand, first_queue, last_queue)
  local queue = first_queue
  while queue <= last_queue and #demand.slots > demand.filled and not demand.full and room > 0 do
    if not paused(KEYS[queue]) then
      while take_some(demand, KEYS[queue]) do end
    end
    queue = queue + 1
  end
  if room <= 0 and #demand.slots > demand.filled and not demand.full then
    demand.given[1] = 2
  elseif not demand.full and drained(demand, first_queue, last_queue) then
    demand.given[1] = 1
  end
end

local result, arg, key = {}, 7, 2
while ARGV[arg] do
  local queues, slots = tonumber(ARGV[arg + 4]), tonumber(ARGV[arg + 5])
  local demand = {
    visibility_ms = tonumber(ARGV[arg]), max_bytes = tonumber(ARGV[arg + 1]), bytes = tonumber(ARGV[arg + 2]),
    first_slot = arg + 6, filled = 0, given = { 0 },
  }
  demand.slots, demand.beats, demand.holders
    = open_slots(string.sub(KEYS[key], 1, 9), ARGV[arg + 3], arg + 6, arg + 5 + slots)
  serve(demand, key, key + queues - 1)
  result[#result + 1] = demand.given
  arg, key = arg + 6 + slots, key + queues
end
send_all()
if #memories > 0 then
  local kept = ARGV[4] == '1' and memory and string.match(memory, '\n.*$') or ''
  memory = ARGV[3] .. kept .. table.concat(memories)
  redis.call('SET', KEYS[1], memory, 'PX', ARGV[5])
end
return result
