-- name: insert_job
INSERT INTO jobs (key, id, queue, state, priority, seq, enqueued_at, due_at, wake_at, expires_at, visibility_ms, timeout_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_envelope
INSERT INTO envelopes (key, data)
VALUES (?, ?)

-- name: taken
SELECT 1 FROM jobs WHERE id = ?

-- name: idempotency_key
SELECT fingerprint, reply FROM idempotency_keys WHERE key = :key AND expires_at > :now

-- name: remember_key
INSERT INTO idempotency_keys (key, fingerprint, reply, expires_at) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET fingerprint = excluded.fingerprint, reply = excluded.reply, expires_at = excluded.expires_at

-- name: read
SELECT id, {RECORD}
FROM jobs JOIN envelopes USING (key)
WHERE id = ?

-- name: standing
SELECT id, key, queue, seq, wake_at, dead, {RECORD}
FROM jobs JOIN envelopes USING (key)
WHERE id = ?

-- name: apply
UPDATE jobs
SET state = ?, attempt = ?, lease = ?, seq = ?, enqueued_at = ?, ended_at = ?, due_at = ?, wake_at = ?, dead = ?,
    tail = ?, worker = ''
WHERE key = ?
