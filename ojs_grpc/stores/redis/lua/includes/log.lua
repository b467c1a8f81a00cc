-- @include record

-- Events, collected so that all of one script and partition are one entry of its stream. events.py reads them.

local JOB_ENQUEUED, JOB_STARTED, JOB_COMPLETED, JOB_FAILED, JOB_HEARTBEAT, JOB_SCHEDULED = 1, 2, 3, 4, 8, 9
local DEAD_LETTER_DELETED = 62
local EVENT = '<BI4i8I4I4'
-- Whether anything is to be logged; for each partition a list of byte strings; how many events they are.
local is_logging, logged, logged_in_all = false, {}, 0

local function log(prefix, kind, attempt, value, subject, detail)
  local entry = logged[prefix]
  if not entry then
    entry = { '', count = 0, size = 1, prefix = prefix }
    logged[prefix] = entry
  end
  local size = entry.size
  entry[size + 1] = struct.pack(EVENT, kind, attempt, value, #subject, #detail)
  entry[size + 2] = subject
  size = size + 2
  if detail ~= '' then
    size = size + 1
    entry[size] = detail
  end
  logged_in_all = logged_in_all + 1
  entry.size, entry.count, entry.last = size, entry.count + 1, logged_in_all
end

-- Logs what happened to `job`, of whose record at least the head is at hand.
local function log_job(prefix, key, record, kind, value, detail)
  if is_logging then
    log(prefix, kind, job.attempt, value, part(key, record, envelope_at(), job.subject_size), detail)
  end
end

-- Each entry says how many events were logged before it: that is the order in which they came.
local function write_log(now)
  if logged_in_all == 0 then
    return
  end
  local entries, number = {}, redis.call('INCRBY', 'ojs:{00}:logged', logged_in_all) - logged_in_all
  for _, entry in pairs(logged) do
    entries[#entries + 1] = entry
  end
  if #entries > 1 then
    table.sort(entries, function(one, other) return one.last < other.last end)
  end
  for _, entry in ipairs(entries) do
    entry[1] = struct.pack('<i8I4i8', now, entry.count, number)
    number = number + entry.count
    redis.call('XADD', entry.prefix .. 'events', '*', 'e', table.concat(entry))
  end
  logged, logged_in_all = {}, 0
end
