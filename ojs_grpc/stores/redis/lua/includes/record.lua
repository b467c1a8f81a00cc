-- A job's record: this header, the name of its queue, its envelope, its tail. record.py says the same in Python.
--
-- The header has a fixed size so that a change of state overwrites it in place: a script copies an envelope, which may
-- be a mebibyte, only to give it to somebody. What changes comes first.

local CHANGING = '<BBI4i8i8i8i8i8'
local HEADER = CHANGING .. 'BBi8i8i8I4'
local HEADER_SIZE = 76
-- Enough of a record for its header and the longest name of a queue.
local HEAD_SIZE = HEADER_SIZE + 255
-- Where a single field stands in the header, counted from 0.
local ENDED_AT, DUE_AT, RANK, QUEUE_SIZE, EXPIRES_AT = 30, 38, 46, 47, 48

-- One table for all jobs, because a table for each costs more than all the rest of reading them.
local job = {}

-- Reads the fields of a record, or of its first HEAD_SIZE bytes, into `job`.
local function decode(record)
  job.state, job.dead, job.attempt, job.lease, job.enqueued_at, job.started_at, job.ended_at, job.due_at,
    job.rank, job.queue_size, job.expires_at, job.visibility_ms, job.timeout_ms, job.envelope_size
    = struct.unpack(HEADER, record)
  job.queue = string.sub(record, HEADER_SIZE + 1, HEADER_SIZE + job.queue_size)
end

-- The beginning of a header, with the fields of `job` that change.
local function encode()
  return struct.pack(CHANGING, job.state, job.dead, job.attempt, job.lease, job.enqueued_at, job.started_at,
    job.ended_at, job.due_at)
end
