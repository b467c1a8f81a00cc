-- @include change
-- @include documents
-- @module depth
-- @include twins
-- @include log

-- The rarer parts of a unit. Five numbers say how many follow of each: changes, as in includes/change.lua; writes, each
-- a name, '' or the version that the document must have, 1 or 0 for whether there is data, the data, due_at; endings,
-- each the prefix of its set and its member; events, each a prefix, kind, subject and detail; unique jobs, each its
-- place among the jobs (from 0; behind them for one that is no new job), fingerprint, states as digits, period_ms.

local WRITE_SIZE, ENDING_SIZE, EVENT_SIZE, UNIQUE_SIZE = 5, 2, 4, 4

-- Where the parts of a unit are. Of the jobs that it changes, `changed` has the ids, and `becomes` by fingerprint and id
-- what they will be.
local function read_unit(key_at, arg_at)
  local unit = { growth = {}, changed = {}, becomes = {} }
  unit.changes, unit.writes = tonumber(ARGV[arg_at]), tonumber(ARGV[arg_at + 1])
  unit.endings, unit.events = tonumber(ARGV[arg_at + 2]), tonumber(ARGV[arg_at + 3])
  unit.uniques = tonumber(ARGV[arg_at + 4])
  unit.changes_at = arg_at + 5
  unit.writes_at = unit.changes_at + CHANGE_SIZE * unit.changes
  unit.endings_at = unit.writes_at + WRITE_SIZE * unit.writes
  unit.events_at = unit.endings_at + ENDING_SIZE * unit.endings
  unit.uniques_at = unit.events_at + EVENT_SIZE * unit.events
  unit.arg_end = unit.uniques_at + UNIQUE_SIZE * unit.uniques
  unit.change_keys, unit.write_keys = key_at, key_at + unit.changes
  unit.key_end = unit.write_keys + unit.writes
  return unit
end

-- Whether a change's job may be changed; a second change of one job may not.
local function change_holds(unit, place)
  local arg = unit.changes_at + CHANGE_SIZE * place
  local key, prefix, id, head = find(KEYS[unit.change_keys + place])
  if not key or unit.changed[id] or not may_change(key, prefix, id, head, arg) then
    return false
  end
  local state = ARGV[arg + 3]
  unit.changed[id] = true
  if job.links then
    local fingerprint = job.links.fingerprint
    unit.becomes[fingerprint] = unit.becomes[fingerprint] or {}
    unit.becomes[fingerprint][id] = { state = state, created_at = job.links.created_at }
  end
  depth().grow(unit.growth, prefix, job.queue, job.state, tonumber(state))
  return true
end

local function unit_holds(unit)
  for place = 0, unit.changes - 1 do
    if not change_holds(unit, place) then
      return false
    end
  end
  for place = 0, unit.writes - 1 do
    local arg = unit.writes_at + WRITE_SIZE * place
    local version = ARGV[arg + 1]
    if version ~= '' and tonumber(version) ~= version_of(KEYS[unit.write_keys + place], ARGV[arg]) then
      return false
    end
  end
  return true
end

-- Place, record and worker of each duplicate of a unit with `count` new jobs. To these the jobs that the unit changes
-- count as changed, to others not.
local function duplicates(unit, count, now)
  local found = {}
  for arg = unit.uniques_at, unit.arg_end - 1, UNIQUE_SIZE do
    local place, fingerprint, states, period = unpack(ARGV, arg, arg + 3)
    place = tonumber(place)
    local changes = place < count and unit.becomes[fingerprint] or {}
    local record, worker = twin_of(fingerprint, states, tonumber(period), changes, now)
    if record then
      local size = #found
      found[size + 1], found[size + 2], found[size + 3] = place, record, worker
    end
  end
  return found
end

-- Changes and writes.
local function do_first(unit, now, process)
  for place = 0, unit.changes - 1 do
    local arg = unit.changes_at + CHANGE_SIZE * place
    local key, prefix, id, head = find(KEYS[unit.change_keys + place])
    decode(head, key)
    change(key, prefix, id, head, arg, now, process)
  end
  for place = 0, unit.writes - 1 do
    local name, _, has_data, data, due_at = unpack(ARGV, unit.writes_at + WRITE_SIZE * place,
      unit.writes_at + WRITE_SIZE * place + 4)
    write_document(KEYS[unit.write_keys + place], name, has_data == '1', data, tonumber(due_at))
  end
end

-- What comes after the jobs: endings that are forgotten, and events.
local function do_last(unit)
  for arg = unit.endings_at, unit.events_at - 1, ENDING_SIZE do
    redis.call('ZREM', ARGV[arg] .. 'ended', ARGV[arg + 1])
  end
  for arg = unit.events_at, unit.uniques_at - 1, EVENT_SIZE do
    if is_logging then
      log(ARGV[arg], tonumber(ARGV[arg + 1]), 0, 0, ARGV[arg + 2], ARGV[arg + 3])
    end
  end
end

return {
  read_unit = read_unit, unit_holds = unit_holds, duplicates = duplicates, do_first = do_first, do_last = do_last,
}
