-- name: delete_keys
DELETE FROM idempotency_keys
WHERE key IN (SELECT key FROM idempotency_keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)

-- name: forget_workers
DELETE FROM workers
WHERE id IN (SELECT id FROM workers WHERE beat_at <= :before ORDER BY beat_at LIMIT :limit)

-- name: old
SELECT jobs.key, jobs.queue, jobs.state, jobs.dead, jobs.lane
FROM queues CROSS JOIN jobs INDEXED BY jobs_ended ON jobs.queue = queues.key
WHERE ended_at <> 0 AND state = :state AND jobs.dead = :dead AND ended_at <= :before
LIMIT :limit

-- name: crowded_by_finished
SELECT key, finished - :count FROM queues WHERE finished > :count

-- name: oldest_finished
SELECT key, queue, state, dead, lane
FROM (
    SELECT key, queue, state, dead, lane, ended_at, seq FROM jobs INDEXED BY jobs_ended
    WHERE ended_at <> 0 AND queue = :queue AND state = {COMPLETED} AND dead = 0
    UNION ALL
    SELECT key, queue, state, dead, lane, ended_at, seq FROM jobs INDEXED BY jobs_ended
    WHERE ended_at <> 0 AND queue = :queue AND state = {CANCELLED} AND dead = 0
    ORDER BY ended_at, seq
    LIMIT :limit
)

-- name: crowded_by_dead
SELECT key, dead - :count FROM queues WHERE dead > :count

-- name: oldest_dead
SELECT key, queue, state, dead, lane FROM jobs INDEXED BY jobs_ended
WHERE ended_at <> 0 AND queue = :queue AND state = {DISCARDED} AND dead = 1
ORDER BY ended_at, seq
LIMIT :limit

-- name: delete_job
DELETE FROM jobs WHERE key = ?

-- name: delete_envelope
DELETE FROM envelopes WHERE key = ?
