-- name: count
UPDATE queues SET [changes] WHERE key = ?2

-- name: record
INSERT INTO minutes (queue, minute, completed, failed, claimed, duration_ms, wait_ms) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (queue, minute) DO UPDATE
SET completed = completed + excluded.completed, failed = failed + excluded.failed,
    claimed = claimed + excluded.claimed, duration_ms = duration_ms + excluded.duration_ms,
    wait_ms = wait_ms + excluded.wait_ms

-- name: figures
SELECT key, paused, available, active, scheduled, retryable, discarded, completed FROM queues WHERE name = ?

-- name: minutes
SELECT minute, completed, failed, claimed, duration_ms, wait_ms FROM minutes
WHERE queue = ? AND minute BETWEEN ? AND ?
ORDER BY minute

-- name: minutes_of_all
SELECT queue, minute, completed, failed, claimed, duration_ms, wait_ms
FROM minutes INDEXED BY minutes_by_age
WHERE minute >= ? AND minute <= ?
ORDER BY minute

-- name: forget
DELETE FROM minutes
WHERE (queue, minute) IN (SELECT queue, minute FROM minutes WHERE minute < :before ORDER BY minute LIMIT :limit)

-- name: counts
SELECT key, name, paused, created_at, completed,
    available, active, scheduled, retryable, pending, finished - cancelled, cancelled, discarded
FROM queues
ORDER BY name

-- name: counts_of
SELECT key, name, paused, created_at, completed,
    available, active, scheduled, retryable, pending, finished - cancelled, cancelled, discarded
FROM queues
WHERE name = ?
