-- A job's record: this header, the name of its queue, its links, its envelope, its tail. record.py says the same in
-- Python.
--
-- The header has a fixed size so that a change of state overwrites it in place: a script copies an envelope, which may
-- be a mebibyte, only to give it to somebody. What changes comes first.

local CHANGING = '<BBI4i8i8i8i8i8'
local HEADER = CHANGING .. 'BBi8i8i8I4I4I4'
local HEADER_SIZE = 84
-- Enough of a record for its header, and mostly for all that comes before the envelope, and the subject.
local HEAD_SIZE = 512
-- Where a single field stands in the header, counted from 0.
local DUE_AT, RANK, QUEUE_SIZE = 38, 46, 47

-- One table for all jobs, because a table for each costs more than all the rest of reading them.
local job = {}

-- @include effects
-- @module links

-- Bytes of a record of which perhaps only the head is at hand.
local function part(key, record, from, size)
  if #record == HEAD_SIZE and from + size > HEAD_SIZE then
    return redis.call('GETRANGE', key, from, from + size - 1)
  end
  return string.sub(record, from + 1, from + size)
end

-- Reads the fields of a record, or of its first HEAD_SIZE bytes, into `job`; its links, which most jobs don't have,
-- only if its key is given.
local function decode(record, key)
  job.state, job.dead, job.attempt, job.lease, job.enqueued_at, job.started_at, job.ended_at, job.due_at,
    job.rank, job.queue_size, job.expires_at, job.visibility_ms, job.timeout_ms, job.envelope_size,
    job.subject_size, job.links_size = struct.unpack(HEADER, record)
  job.queue = string.sub(record, HEADER_SIZE + 1, HEADER_SIZE + job.queue_size)
  job.links = nil
  if job.links_size > 0 and key then
    job.links = links().read_links(part(key, record, HEADER_SIZE + job.queue_size, job.links_size))
  end
end

-- Where the envelope of `job` begins in its record, counted from 0.
local function envelope_at()
  return HEADER_SIZE + job.queue_size + job.links_size
end

-- The beginning of a header, with the fields of `job` that change.
local function encode()
  return struct.pack(CHANGING, job.state, job.dead, job.attempt, job.lease, job.enqueued_at, job.started_at,
    job.ended_at, job.due_at)
end
