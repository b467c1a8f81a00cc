-- name: taken
SELECT 1 FROM jobs WHERE id = ?

-- name: idempotency_key
SELECT fingerprint, reply FROM idempotency_keys WHERE key = :key AND expires_at > :now

-- name: remember_key
INSERT INTO idempotency_keys (key, fingerprint, reply, expires_at) VALUES (?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE
SET fingerprint = excluded.fingerprint, reply = excluded.reply, expires_at = excluded.expires_at
