-- name: next_in_line
SELECT key, id, attempt, enqueued_at, visibility_ms, timeout_ms, priority, seq, tail, subject, data
FROM jobs INDEXED BY jobs_in_line JOIN envelopes USING (key)
WHERE queue = :queue AND state = {AVAILABLE} AND lane = 0 AND (expires_at = 0 OR expires_at > :now OR started_at > 0)
ORDER BY priority DESC, seq
LIMIT :slots

-- name: at_place
SELECT key, id, attempt, enqueued_at, visibility_ms, timeout_ms, priority, seq, tail, subject, data
FROM jobs INDEXED BY jobs_in_lane JOIN envelopes USING (key)
WHERE lane = :lane AND lane > 0 AND state = {AVAILABLE} AND priority = :priority AND seq = :seq
    AND (expires_at = 0 OR expires_at > :now OR started_at > 0)
