-- name: write
INSERT INTO events (at, total, data)
VALUES (?, ? + coalesce((SELECT total FROM events ORDER BY seq DESC LIMIT 1), 0), ?)

-- name: last
SELECT seq FROM events ORDER BY seq DESC LIMIT 1

-- name: rows_from
SELECT seq, at, data FROM events WHERE seq >= ? ORDER BY seq

-- name: rows_after
SELECT 1 FROM events WHERE seq > ? LIMIT 1

-- name: newest
SELECT seq, total, length(data) FROM events ORDER BY seq DESC LIMIT 1

-- name: oldest
SELECT seq, at, total, length(data) FROM events WHERE seq < ? ORDER BY seq LIMIT ?

-- name: delete_to
DELETE FROM events WHERE seq <= ?

-- name: empty
UPDATE events SET data = x'' WHERE seq = :seq AND (at <= :before OR total <= :many)
