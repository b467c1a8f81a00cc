-- Does what each caller wants done at once, or nothing of it.
--
-- KEYS      unit by unit: its idempotency key if it has one, the key of each job that it changes, the key of the
--           documents of each that it writes, the key of each new job
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3]   1 to log events, else 0
-- ARGV[4]   the number of units
-- ARGV[5]   how many jobs a queue may hold, 0 for no bound, unless
-- ARGV[6]   it is one of so many
-- ARGV[7..] queue by queue its name and its bound; then unit by unit: its number of new jobs, with a '+' before it if
--           there is more to say of it; if so: '', or a character for each of them, '1' if its id may be taken; 1 if it
--           is about more than new jobs, else ''; the request's fingerprint, '' without an idempotency key; with one,
--           the reply and when it is forgotten; if it is about more, what includes/unit.lua says; then the record of
--           each job
--
-- Result: 1 if jobs of workflows ended, else 0; the names of queues that may have jobs to claim now; then three values
-- for each unit that was not done, its place (from 0), a code and a detail:
--   1, reply  the idempotency key is known with this fingerprint
--   2, ''     the idempotency key is known with another fingerprint
--   3, id     the id is taken
--   4, ''     a precondition does not hold
--   5, list   jobs have duplicates: for each its place (as in includes/unit.lua), the duplicate's record and worker
--   6, text   a queue is full: `<depth> <bound> <queue>`

-- @include states
-- @include record
-- @include conclude
-- @include records
-- @module depth
-- @module unit

local now, process = tonumber(ARGV[1]), ARGV[2]
local key_at, arg_at = 1, 7
local queues, windows = {}, {}
-- The first two are known last.
local results = { 0, false }
local PLUS = string.byte('+')
is_logging = ARGV[3] == '1'
local are_bounded = ARGV[5] ~= '0' or ARGV[6] ~= '0'
if are_bounded then
  arg_at = depth().read_bounds(tonumber(ARGV[5]), tonumber(ARGV[6]), arg_at)
end

-- The first reserved id of a unit that is taken, by a stored job or by an earlier one of the unit.
local function taken_id(first, marks)
  write_records()
  local seen = {}
  for place = 1, #marks do
    local id = string.sub(KEYS[first + place - 1], 12)
    if string.sub(marks, place, place) == '1' then
      local own = 'ojs:{' .. string.sub(id, -2) .. '}:'
      if seen[id] or redis.call('EXISTS', own .. 'j:' .. id, own .. 'at:' .. id) > 0 then
        return id
      end
    end
    seen[id] = true
  end
end

-- Remembers what a new job with links is tied to.
local function tie(id)
  links().move(id, nil, job.state, now)
  local limits = job.links.limits
  if limits ~= '' and not windows[limits] then
    windows[limits] = true
    for _, limit in ipairs(lanes().limits_of(limits)) do
      lanes().widen_window(limit)
    end
  end
end

local function store(key, record)
  local prefix, id = string.sub(key, 1, 9), string.sub(key, 12)
  local state = string.byte(record)
  local due_at, rank, queue_size, expires_at, _, _, _, subject_size, links_size
    = struct.unpack('<i8BBi8i8i8I4I4I4', record, DUE_AT + 1)
  local queue = string.sub(record, HEADER_SIZE + 1, HEADER_SIZE + queue_size)
  local size = #records
  records[size + 1], records[size + 2] = key, record
  queues[queue] = prefix
  local own, tag = string.sub(id, -2), string.sub(key, 6, 7)
  if own ~= tag then
    redis.call('SET', 'ojs:{' .. own .. '}:at:' .. id, tag)
  end
  job.links = nil
  if links_size > 0 then
    decode(record, key)
    tie(id)
  end
  if state == AVAILABLE then
    line_up(prefix, queue, rank, id, job.links)
  elseif state == SCHEDULED then
    later('ZADD', prefix .. 'due', due_at, id)
    add(facts_of(prefix, queue).all, 'scheduled', 1)
  elseif state == PENDING then
    later('ZADD', prefix .. 'pending:' .. queue, now, id)
  end
  if expires_at > 0 then
    later('ZADD', prefix .. 'ttl', expires_at, id)
  end
  if is_logging and state ~= PENDING then
    local from = HEADER_SIZE + queue_size + links_size + 1
    local kind = state == AVAILABLE and JOB_ENQUEUED or JOB_SCHEDULED
    log(prefix, kind, 0, 0, string.sub(record, from, from + subject_size - 1), '')
  end
end

-- The code and the detail of a unit whose idempotency key is known.
local function known(key, fingerprint)
  local value = redis.call('GET', key)
  local expires_at, size = struct.unpack('<i8I2', value or string.rep('\0', 10))
  if expires_at <= now then
    return nil
  elseif string.sub(value, 11, 10 + size) ~= fingerprint then
    return 2, ''
  end
  return 1, string.sub(value, 11 + size)
end

-- What the new jobs of a unit, and its changes, mean for the depth of queues.
local function growth_of(count, growth)
  for place = 0, count - 1 do
    decode(ARGV[arg_at + place])
    depth().grow(growth, string.sub(KEYS[key_at + place], 1, 9), job.queue, nil, job.state)
  end
  return growth
end

-- Why a unit cannot be done, apart from its idempotency key: a code and a detail.
local function refusal(extra, count, marks)
  if extra and not unit().unit_holds(extra) then
    return 4, ''
  end
  local id = marks ~= '' and taken_id(key_at, marks)
  if id then
    return 3, id
  end
  if extra and extra.uniques > 0 then
    local found = unit().duplicates(extra, count, now)
    if found[1] then
      return 5, found
    end
  end
  if are_bounded then
    local growth = growth_of(count, extra and extra.growth or {})
    local full = depth().overflow(growth, now, process)
    if full then
      return 6, full
    end
    depth().note_growth(growth)
  end
end

for place = 0, tonumber(ARGV[4]) - 1 do
  local head, marks, more, fingerprint = ARGV[arg_at], '', '', ''
  local count = tonumber(head)
  local code, detail, idempotency_key, reply, expires_at, extra
  arg_at = arg_at + 1
  if string.byte(head) == PLUS then
    marks, more, fingerprint = unpack(ARGV, arg_at, arg_at + 2)
    arg_at = arg_at + 3
  end
  if fingerprint ~= '' then
    idempotency_key, reply, expires_at = KEYS[key_at], ARGV[arg_at], tonumber(ARGV[arg_at + 1])
    key_at, arg_at = key_at + 1, arg_at + 2
    code, detail = known(idempotency_key, fingerprint)
  end
  if more ~= '' then
    extra = unit().read_unit(key_at, arg_at)
    key_at, arg_at = extra.key_end, extra.arg_end
    if extra.changes > 0 then
      write_records()
      catch_up(process)
    end
  end
  if not code then
    code, detail = refusal(extra, count, marks)
  end
  if code then
    local size = #results
    results[size + 1], results[size + 2], results[size + 3] = place, code, detail
  else
    if extra then
      unit().do_first(extra, now, process)
    end
    for job_at = 0, count - 1 do
      store(KEYS[key_at + job_at], ARGV[arg_at + job_at])
    end
    if extra then
      unit().do_last(extra)
    end
    if idempotency_key and expires_at > now then
      local value = struct.pack('<i8I2', expires_at, #fingerprint) .. fingerprint .. reply
      redis.call('SET', idempotency_key, value, 'PX', expires_at - now)
    end
  end
  key_at, arg_at = key_at + count, arg_at + count
end

write_records()
for queue, prefix in pairs(queues) do
  redis.call('HSETNX', prefix .. 'queues', queue, now)
end
results[2] = conclude(now, process)
results[1] = ended
return results
