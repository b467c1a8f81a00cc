-- name: total
SELECT coalesce(sum(dead), 0) FROM queues WHERE :queue = '' OR name = :queue

-- name: queues_from
SELECT key, name FROM queues WHERE dead > 0 AND name >= :queue ORDER BY name

-- name: page
SELECT ended_at, seq, {RECORD}
FROM jobs INDEXED BY jobs_ended JOIN envelopes USING (key)
WHERE ended_at <> 0 AND queue = :queue AND state = {DISCARDED} AND dead = 1 AND (ended_at, seq) > (:ended_at, :seq)
ORDER BY ended_at, seq

-- name: delete
DELETE FROM jobs WHERE id = ? AND dead = 1 RETURNING key, queue, attempt, lane, state, dead

-- name: delete_finished
DELETE FROM jobs WHERE id = ? AND state IN ({COMPLETED}, {CANCELLED}, {DISCARDED})
RETURNING key, queue, attempt, lane, state, dead

-- name: delete_envelope
DELETE FROM envelopes WHERE key = ? RETURNING subject
