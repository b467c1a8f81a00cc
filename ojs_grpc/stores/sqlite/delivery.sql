-- name: open_queue
SELECT key FROM queues WHERE name = ? AND paused = 0

-- name: next_in_line
SELECT key, id, attempt, enqueued_at, visibility_ms, timeout_ms, tail, data
FROM jobs INDEXED BY jobs_in_line JOIN envelopes USING (key)
WHERE queue = :queue AND state = {AVAILABLE} AND (expires_at = 0 OR expires_at > :now OR started_at > 0)
ORDER BY priority DESC, seq
LIMIT :slots

-- name: claim
UPDATE jobs
SET state = {ACTIVE}, attempt = ?, lease = ?, started_at = ?, due_at = ?, wake_at = ?, worker = ?
WHERE key = ?

-- name: workers
SELECT id, state, beat_at FROM workers WHERE id = ?

-- name: holders
SELECT id, key, queue, state, lease, worker, tail FROM jobs WHERE id = ?

-- name: complete
UPDATE jobs
SET state = {COMPLETED}, seq = :first + done.key, ended_at = :now, due_at = 0, wake_at = 0, worker = ''
FROM json_each(:keys) AS done
WHERE jobs.key = done.value

-- name: set_tail
UPDATE jobs SET tail = ? WHERE key = ?
