-- Stores what each caller enqueues at once, or nothing of it.
--
-- KEYS      unit by unit: its idempotency key if it has one, then the key of each job
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3]   the number of units
-- ARGV[4..] unit by unit: its number of jobs; '', or a character for each job, '1' if its id may be taken; the
--           request's fingerprint, '' without an idempotency key; with one, the reply and when it is forgotten; then
--           the record of each job
--
-- Result: two values a unit, a code and a detail:
--   0, ''     stored
--   1, reply  the idempotency key is known with this fingerprint
--   2, ''     the idempotency key is known with another fingerprint
--   3, id     the id is taken

-- @include states
-- @include record
-- @include ready

local now, process = tonumber(ARGV[1]), ARGV[2]
local key_at, arg_at = 1, 4
local records, queues, results = {}, {}, {}

local function write_records()
  for from = 1, #records, MOST_VALUES do
    redis.call('MSET', unpack(records, from, math.min(from + MOST_VALUES - 1, #records)))
  end
  records = {}
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

local function store(key, record)
  local prefix, id = string.sub(key, 1, 9), string.sub(key, 12)
  local state = string.byte(record)
  local due_at, rank, queue_size, expires_at = struct.unpack('<i8BBi8', record, DUE_AT + 1)
  local queue = string.sub(record, HEADER_SIZE + 1, HEADER_SIZE + queue_size)
  local size = #records
  records[size + 1], records[size + 2] = key, record
  queues[queue] = prefix
  local own, tag = string.sub(id, -2), string.sub(key, 6, 7)
  if own ~= tag then
    redis.call('SET', 'ojs:{' .. own .. '}:at:' .. id, tag)
  end
  if state == AVAILABLE then
    line_up(prefix, queue, rank, id)
  elseif state == SCHEDULED then
    later('ZADD', prefix .. 'due', due_at, id)
  end
  if expires_at > 0 then
    later('ZADD', prefix .. 'ttl', expires_at, id)
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

for unit = 1, tonumber(ARGV[3]) do
  local count, marks, fingerprint = tonumber(ARGV[arg_at]), ARGV[arg_at + 1], ARGV[arg_at + 2]
  arg_at = arg_at + 3
  local code, detail, idempotency_key, reply, expires_at
  if fingerprint ~= '' then
    idempotency_key, reply, expires_at = KEYS[key_at], ARGV[arg_at], tonumber(ARGV[arg_at + 1])
    key_at, arg_at = key_at + 1, arg_at + 2
    code, detail = known(idempotency_key, fingerprint)
  end
  if not code and marks ~= '' then
    detail = taken_id(key_at, marks)
    code = detail and 3
  end
  if not code then
    code, detail = 0, ''
    for place = 0, count - 1 do
      store(KEYS[key_at + place], ARGV[arg_at + place])
    end
    if idempotency_key and expires_at > now then
      local value = struct.pack('<i8I2', expires_at, #fingerprint) .. fingerprint .. reply
      redis.call('SET', idempotency_key, value, 'PX', expires_at - now)
    end
  end
  key_at, arg_at = key_at + count, arg_at + count
  results[2 * unit - 1], results[2 * unit] = code, detail
end

write_records()
for queue, prefix in pairs(queues) do
  redis.call('HSETNX', prefix .. 'queues', queue, now)
end
send_all()
open_lines(process)
return results
