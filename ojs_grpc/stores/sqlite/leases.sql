-- name: beat
INSERT INTO workers (id, state, beat_at) VALUES (:worker, :state, :now)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, beat_at = excluded.beat_at

-- name: last_beat
SELECT beat_at FROM workers WHERE id = ?

-- name: extend_held
UPDATE jobs INDEXED BY jobs_held
SET due_at  = :now + coalesce(:extend_ms, visibility_ms),
    wake_at = min(:now + coalesce(:extend_ms, visibility_ms), {TIMES_OUT_AT}, :silent_at)
WHERE worker = :worker AND worker <> '' AND state = {ACTIVE}
RETURNING id, due_at

-- name: holder
SELECT key, state, lease, worker, attempt, subject FROM jobs JOIN envelopes USING (key) WHERE id = ?

-- name: extend_one
UPDATE jobs
SET due_at  = :now + coalesce(:extend_ms, visibility_ms),
    wake_at = min(:now + coalesce(:extend_ms, visibility_ms), {TIMES_OUT_AT}, :silent_at)
WHERE key = :key
RETURNING id, due_at

-- name: lease
SELECT id, lease FROM jobs WHERE id = ? AND state = {ACTIVE}

-- name: overdue
SELECT due_at, {TIMES_OUT_AT}, {RECORD}
FROM jobs INDEXED BY jobs_active JOIN envelopes USING (key)
WHERE state = {ACTIVE} AND wake_at <= :now
ORDER BY wake_at
LIMIT :limit

-- name: next_overdue
SELECT wake_at FROM jobs INDEXED BY jobs_active
WHERE state = {ACTIVE}
ORDER BY wake_at
LIMIT 1 OFFSET ?
