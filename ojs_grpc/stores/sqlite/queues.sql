-- name: key
SELECT key FROM queues WHERE name = ?

-- name: name
SELECT name FROM queues WHERE key = ?

-- name: create
INSERT INTO queues (name, created_at) VALUES (?, ?) RETURNING key

-- name: pause
UPDATE queues SET paused = :paused WHERE key = :key AND paused <> :paused

-- name: depth
SELECT available + scheduled + retryable FROM queues WHERE name = ?

-- name: page
SELECT name, paused, available, created_at FROM queues
WHERE name > :after
ORDER BY name
LIMIT :limit

-- name: total
SELECT count(*) FROM queues
