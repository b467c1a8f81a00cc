-- name: totals
SELECT sum(available), sum(active), sum(scheduled), sum(retryable), sum(pending), sum(finished - cancelled),
    sum(cancelled), sum(discarded)
FROM queues
WHERE :queue = '' OR name = :queue

-- name: queue
SELECT key FROM queues WHERE name = ?

-- name: queues
SELECT key, name FROM queues
WHERE name >= :name AND (:queue = '' OR name = :queue) AND CASE :state
    WHEN {AVAILABLE} THEN available
    WHEN {PENDING} THEN pending
    WHEN {DISCARDED} THEN discarded
    WHEN {CANCELLED} THEN cancelled
    ELSE finished - cancelled
END > 0
ORDER BY name

-- name: job
SELECT {RECORD} FROM jobs JOIN envelopes USING (key) WHERE key = ?

-- name: active_equal
SELECT wake_at, key, state, queue FROM jobs INDEXED BY jobs_active
WHERE state = {ACTIVE} AND wake_at = :mark AND key > :last
ORDER BY key

-- name: active_after
SELECT wake_at, key, state, queue FROM jobs INDEXED BY jobs_active
WHERE state = {ACTIVE} AND wake_at > :mark
ORDER BY wake_at, key

-- name: waiting_equal
SELECT wake_at, key, state, queue FROM jobs INDEXED BY jobs_waiting
WHERE state IN ({SCHEDULED}, {RETRYABLE}) AND wake_at = :mark AND key > :last
ORDER BY key

-- name: waiting_after
SELECT wake_at, key, state, queue FROM jobs INDEXED BY jobs_waiting
WHERE state IN ({SCHEDULED}, {RETRYABLE}) AND wake_at > :mark
ORDER BY wake_at, key

-- name: line_equal
SELECT priority, key, state, seq FROM jobs INDEXED BY jobs_in_line
WHERE queue = :index AND state = {AVAILABLE} AND lane = 0 AND priority = :mark AND seq > :last
ORDER BY seq

-- name: line_below
SELECT priority, key, state, seq FROM jobs INDEXED BY jobs_in_line
WHERE queue = :index AND state = {AVAILABLE} AND lane = 0 AND priority < :mark
ORDER BY priority DESC, seq

-- name: limited_equal
SELECT priority, key, state, seq FROM jobs INDEXED BY jobs_limited
WHERE queue = :index AND state = {AVAILABLE} AND lane > 0 AND priority = :mark AND seq > :last
ORDER BY seq

-- name: limited_below
SELECT priority, key, state, seq FROM jobs INDEXED BY jobs_limited
WHERE queue = :index AND state = {AVAILABLE} AND lane > 0 AND priority < :mark
ORDER BY priority DESC, seq

-- name: pending
SELECT 0, key, state, key FROM jobs INDEXED BY jobs_pending
WHERE state = {PENDING} AND queue = :index AND key < :last AND :mark = 0
ORDER BY key DESC

-- name: dead
SELECT ended_at, key, state, seq FROM jobs INDEXED BY jobs_ended
WHERE ended_at <> 0 AND state = {DISCARDED} AND dead = 1 AND queue = :index AND (ended_at, seq) < (:mark, :last)
ORDER BY ended_at DESC, seq DESC

-- name: discarded
SELECT ended_at, key, state, seq FROM jobs INDEXED BY jobs_ended
WHERE ended_at <> 0 AND state = {DISCARDED} AND dead = 0 AND queue = :index AND (ended_at, seq) < (:mark, :last)
ORDER BY ended_at DESC, seq DESC

-- name: cancelled
SELECT ended_at, key, state, seq FROM jobs INDEXED BY jobs_ended
WHERE ended_at <> 0 AND state = {CANCELLED} AND dead = 0 AND queue = :index AND (ended_at, seq) < (:mark, :last)
ORDER BY ended_at DESC, seq DESC

-- name: completed
SELECT ended_at, key, state, seq FROM jobs INDEXED BY jobs_ended
WHERE ended_at <> 0 AND state = {COMPLETED} AND dead = 0 AND queue = :index AND (ended_at, seq) < (:mark, :last)
ORDER BY ended_at DESC, seq DESC
