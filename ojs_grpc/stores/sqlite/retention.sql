-- name: delete_keys
DELETE FROM idempotency_keys
WHERE key IN (SELECT key FROM idempotency_keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)

-- name: forget_workers
DELETE FROM workers
WHERE id IN (SELECT id FROM workers WHERE beat_at <= :before ORDER BY beat_at LIMIT :limit)

-- name: old_finished
SELECT jobs.key, jobs.queue, jobs.state, jobs.dead, jobs.lane
FROM queues CROSS JOIN jobs INDEXED BY jobs_finished ON jobs.queue = queues.key
WHERE state IN ({COMPLETED}, {CANCELLED}) AND ended_at <= :before
LIMIT :limit

-- name: old_discarded
SELECT jobs.key, jobs.queue, jobs.state, jobs.dead, jobs.lane
FROM queues CROSS JOIN jobs INDEXED BY jobs_discarded ON jobs.queue = queues.key
WHERE jobs.state = {DISCARDED} AND jobs.dead = 0 AND ended_at <= :before
LIMIT :limit

-- name: old_dead
SELECT jobs.key, jobs.queue, jobs.state, jobs.dead, jobs.lane
FROM queues CROSS JOIN jobs INDEXED BY jobs_dead ON jobs.queue = queues.key
WHERE jobs.dead = 1 AND ended_at <= :before
LIMIT :limit

-- name: crowded_by_finished
SELECT key, finished - :count FROM queues WHERE finished > :count

-- name: oldest_finished
SELECT key, queue, state, dead, lane FROM jobs INDEXED BY jobs_finished
WHERE state IN ({COMPLETED}, {CANCELLED}) AND queue = :queue
ORDER BY ended_at, seq
LIMIT :limit

-- name: crowded_by_dead
SELECT key, dead - :count FROM queues WHERE dead > :count

-- name: oldest_dead
SELECT key, queue, state, dead, lane FROM jobs INDEXED BY jobs_dead
WHERE dead = 1 AND queue = :queue
ORDER BY ended_at, seq
LIMIT :limit

-- name: delete_job
DELETE FROM jobs WHERE key = ?

-- name: delete_envelope
DELETE FROM envelopes WHERE key = ?
