-- name: find
SELECT key, longest FROM limits WHERE name = ?

-- name: create
INSERT INTO limits (key, name, longest) VALUES (?, ?, ?)

-- name: lengthen
UPDATE limits SET longest = ? WHERE key = ?

-- name: name
SELECT name FROM limits WHERE key = ?

-- name: active
SELECT count(*) FROM uses WHERE used = ?

-- name: active_elsewhere
SELECT coalesce((SELECT active FROM queues WHERE name = :queue), 0)
    + (SELECT count(*) FROM uses
       WHERE used = :used AND queue <> coalesce((SELECT key FROM queues WHERE name = :queue), 0))

-- name: claimed
SELECT claimed FROM limits WHERE key = ?

-- name: before_window
SELECT before FROM claims INDEXED BY claims_by_time WHERE used = ? AND at > ? ORDER BY at LIMIT 1

-- name: claimed_at
SELECT at FROM claims WHERE used = ? AND before <= ? ORDER BY before DESC LIMIT 1

-- name: use
INSERT INTO uses (used, job, queue) VALUES (?, ?, ?)

-- name: free
DELETE FROM uses WHERE used = ? AND job = ?

-- name: log_claims
INSERT INTO claims (used, before, at) SELECT key, claimed, :now FROM limits WHERE key = :used

-- name: count_claims
UPDATE limits SET claimed = claimed + :claims, used_at = :now WHERE key = :used

-- name: forget_claims
-- A few at a time, more than are added. Behind so many claims no limit looks, however long its period.
DELETE FROM claims WHERE used = :used AND before IN (
    SELECT before
    FROM (SELECT before, at FROM claims WHERE used = :used ORDER BY before LIMIT 20)
        JOIN limits ON limits.key = :used
    WHERE at <= :now - longest OR before < claimed - :most
)

-- name: idle
SELECT key FROM limits INDEXED BY limits_without_lanes
WHERE lanes = 0 AND used_at + longest <= :now
    AND NOT EXISTS (SELECT 1 FROM gates WHERE gates.used = limits.key)
ORDER BY used_at + longest
LIMIT :limit

-- name: delete_claims
DELETE FROM claims WHERE used = ?

-- name: delete
DELETE FROM limits WHERE key = ?
