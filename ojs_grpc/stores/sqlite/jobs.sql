-- name: insert_job
INSERT INTO jobs (key, id, queue, state, priority, seq, enqueued_at, due_at, wake_at, expires_at, visibility_ms, timeout_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_linked_job
INSERT INTO jobs (key, id, queue, state, priority, seq, enqueued_at, due_at, wake_at, expires_at, visibility_ms, timeout_ms,
                  lane, created_at, fingerprint, workflow)
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
