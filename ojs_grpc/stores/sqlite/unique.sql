-- name: any
SELECT 1 FROM jobs INDEXED BY jobs_alike WHERE fingerprint = ? LIMIT 1

-- name: newest
SELECT key, id, created_at FROM jobs INDEXED BY jobs_alike
WHERE fingerprint = ? AND state = ?
ORDER BY key DESC
LIMIT 1
