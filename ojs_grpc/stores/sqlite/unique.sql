-- name: newest
SELECT key, id, created_at FROM jobs INDEXED BY jobs_alike
WHERE fingerprint = ? AND state = ?
ORDER BY key DESC
LIMIT 1
