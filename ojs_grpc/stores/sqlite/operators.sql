-- name: workers
SELECT id, state, beat_at FROM workers WHERE id > :after ORDER BY id LIMIT :limit

-- name: worker
SELECT 1 FROM workers WHERE id = ?

-- name: count
SELECT count(*) FROM workers

-- name: next_holder
SELECT worker FROM jobs INDEXED BY jobs_held
WHERE state = {ACTIVE} AND worker <> '' AND worker > ?
ORDER BY worker
LIMIT 1

-- name: held
SELECT count(*) FROM jobs INDEXED BY jobs_held WHERE state = {ACTIVE} AND worker <> '' AND worker = ?
