-- name: insert_jobs
INSERT INTO jobs (key, id, due_at, wake_at, expires_at, queue, state, priority, visibility_ms, timeout_ms, seq, enqueued_at)
SELECT column1, column2, iif(?2 = {SCHEDULED}, column3, 0), iif(?2 = {SCHEDULED}, column3, 0), column4,
    ?1, ?2, ?3, ?4, ?5, iif(?2 = {AVAILABLE}, column1, 0), iif(?2 = {AVAILABLE}, ?6, 0)
FROM (VALUES (?, ?, ?, ?))

-- name: insert_any_jobs
INSERT INTO jobs (key, id, due_at, wake_at, expires_at, queue, state, priority, visibility_ms, timeout_ms, seq, enqueued_at,
    lane, fingerprint, workflow, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_envelope
INSERT INTO envelopes (key, subject, data)
VALUES (?, ?, ?)

-- name: read
SELECT id, {RECORD}
FROM jobs JOIN envelopes USING (key)
WHERE id = ?

-- name: standing
SELECT id, key, queue, seq, wake_at, dead, lane, workflow, {RECORD}
FROM jobs JOIN envelopes USING (key)
WHERE id = ?

-- name: apply
UPDATE jobs
SET state = ?, attempt = ?, lease = ?, seq = ?, enqueued_at = ?, ended_at = ?, due_at = ?, wake_at = ?, dead = ?,
    tail = ?, worker = ''
WHERE key = ?
