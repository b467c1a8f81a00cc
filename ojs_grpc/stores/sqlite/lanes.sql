-- name: find
SELECT key FROM lanes WHERE queue = ? AND limits = ?

-- name: create
INSERT INTO lanes (key, queue, limits) VALUES (?, ?, ?)

-- name: count_lanes
UPDATE limits SET lanes = lanes + ? WHERE key = ?

-- name: limits
SELECT limits FROM lanes WHERE key = ?

-- name: standing
SELECT key, queue, open, gate, priority, seq FROM lanes WHERE key = ?

-- name: best
SELECT key, queue, open, gate, priority, seq FROM lanes INDEXED BY lanes_open
WHERE queue = ? AND open = 1
ORDER BY priority DESC, seq
LIMIT 1

-- name: place
UPDATE lanes SET open = ?, gate = ?, priority = ?, seq = ? WHERE key = ?

-- name: head
SELECT priority, seq FROM jobs INDEXED BY jobs_in_lane
WHERE lane = :lane AND lane > 0 AND state = {AVAILABLE} AND (expires_at = 0 OR expires_at > :now OR started_at > 0)
ORDER BY priority DESC, seq
LIMIT 1

-- name: head_behind
-- Two halves, as one condition for both would walk through all jobs of the priority that come before.
SELECT * FROM (
    SELECT priority, seq FROM jobs INDEXED BY jobs_in_lane
    WHERE lane = :lane AND lane > 0 AND state = {AVAILABLE} AND (expires_at = 0 OR expires_at > :now OR started_at > 0)
        AND priority = :priority AND seq > :seq
    ORDER BY seq
    LIMIT 1
)
UNION ALL
SELECT * FROM (
    SELECT priority, seq FROM jobs INDEXED BY jobs_in_lane
    WHERE lane = :lane AND lane > 0 AND state = {AVAILABLE} AND (expires_at = 0 OR expires_at > :now OR started_at > 0)
        AND priority < :priority
    ORDER BY priority DESC, seq
    LIMIT 1
)
LIMIT 1

-- name: gate
SELECT key FROM gates
WHERE used = ? AND queue = ? AND concurrency = ? AND claims = ? AND period_ms = ? AND whole = ?

-- name: create_gate
INSERT INTO gates (key, used, queue, concurrency, claims, period_ms, whole) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: gate_by_key
SELECT gates.key, queue, used, name, concurrency, claims, period_ms, whole
FROM gates JOIN limits ON limits.key = used
WHERE gates.key = ?

-- name: gates_of_limit
SELECT key FROM gates WHERE used = ?

-- name: gates_due
SELECT key FROM gates INDEXED BY gates_by_time
WHERE opens_at > 0 AND opens_at <= :now
ORDER BY opens_at
LIMIT :limit

-- name: gates_due_of_queue
SELECT key FROM gates INDEXED BY gates_of_queue WHERE queue = :queue AND opens_at > 0 AND opens_at <= :now

-- name: next_gate
SELECT opens_at FROM gates INDEXED BY gates_by_time WHERE opens_at > 0 ORDER BY opens_at LIMIT 1

-- name: set_time
UPDATE gates SET opens_at = :opens_at WHERE key = :gate AND opens_at <> :opens_at

-- name: delete_gate
DELETE FROM gates WHERE key = ?

-- name: first_waiting
SELECT key, queue, open, gate, priority, seq FROM lanes INDEXED BY lanes_by_gate
WHERE gate = ? AND gate > 0 AND open = 0
ORDER BY priority DESC, seq
LIMIT 1

-- name: any_lane
SELECT 1 FROM lanes INDEXED BY lanes_by_gate WHERE gate = ? AND gate > 0 LIMIT 1

-- name: any_job
SELECT 1 FROM jobs INDEXED BY jobs_in_lane WHERE lane = ? AND lane > 0 LIMIT 1

-- name: delete
DELETE FROM lanes WHERE key = ?
