-- name: open_queue
SELECT key,
    EXISTS (SELECT 1 FROM lanes WHERE lanes.queue = queues.key AND open = 1)
    OR EXISTS (SELECT 1 FROM gates WHERE gates.queue = queues.key AND opens_at > 0 AND opens_at <= :now)
FROM queues
WHERE name = :name AND paused = 0

-- name: claim
UPDATE jobs
SET state = {ACTIVE}, attempt = column2, lease = column3, started_at = column4, due_at = column5, wake_at = column6,
    worker = column7
FROM (VALUES (?, ?, ?, ?, ?, ?, ?))
WHERE key = column1

-- name: workers
SELECT id, state, beat_at FROM workers WHERE id = ?

-- name: holders
SELECT id, key, queue, state, lease, worker, attempt, started_at, lane, workflow, tail, subject
FROM jobs JOIN envelopes USING (key)
WHERE id = ?

-- name: complete
UPDATE jobs
SET state = {COMPLETED}, ended_at = :now, due_at = 0, wake_at = 0, worker = ''
FROM json_each(:keys) AS done
WHERE jobs.key = done.value

-- name: set_tail
UPDATE jobs SET tail = ? WHERE key = ?
