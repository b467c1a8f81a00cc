-- name: next_due
SELECT wake_at FROM jobs INDEXED BY jobs_waiting
WHERE state IN ({SCHEDULED}, {RETRYABLE})
ORDER BY wake_at
LIMIT 1

-- name: due
SELECT key, queue, state, lane, attempt, subject FROM jobs INDEXED BY jobs_waiting JOIN envelopes USING (key)
WHERE state IN ({SCHEDULED}, {RETRYABLE}) AND wake_at <= :now
ORDER BY wake_at, key
LIMIT :limit

-- name: promote
UPDATE jobs
SET state = {AVAILABLE}, seq = :first + due.key, enqueued_at = :now, due_at = 0, wake_at = 0
FROM json_each(:keys) AS due
WHERE jobs.key = due.value

-- name: expired
SELECT {RECORD}
FROM jobs INDEXED BY jobs_expiring JOIN envelopes USING (key)
WHERE expires_at > 0 AND started_at = 0 AND state IN ({SCHEDULED}, {AVAILABLE}, {PENDING}) AND expires_at <= :now
ORDER BY expires_at
LIMIT :limit

-- name: next_expired
SELECT expires_at FROM jobs INDEXED BY jobs_expiring
WHERE expires_at > 0 AND started_at = 0 AND state IN ({SCHEDULED}, {AVAILABLE}, {PENDING})
ORDER BY expires_at
LIMIT 1 OFFSET ?
