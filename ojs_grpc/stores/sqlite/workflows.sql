-- name: note
INSERT INTO endings (job, workflow, state) VALUES (?, ?, ?)

-- name: noted
SELECT job, workflow, state FROM endings ORDER BY key LIMIT ?

-- name: forget
DELETE FROM endings WHERE job = ? AND workflow = ? AND state = ?
