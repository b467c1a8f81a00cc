-- name: version
SELECT version FROM documents WHERE kind = ? AND name = ?

-- name: write
INSERT INTO documents (kind, name, version, due_at, data) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, due_at = excluded.due_at, data = excluded.data

-- name: delete
DELETE FROM documents WHERE kind = ? AND name = ?

-- name: read
SELECT name, version, data, due_at FROM documents WHERE kind = ? AND name = ?

-- name: page
SELECT name, version, data, due_at FROM documents
WHERE kind = :kind AND name > :after
ORDER BY name
LIMIT :limit

-- name: total
SELECT count(*) FROM documents WHERE kind = ?

-- name: due
SELECT name, version, data, due_at FROM documents INDEXED BY documents_due
WHERE kind = :kind AND due_at > 0 AND due_at <= :now
ORDER BY due_at
LIMIT :limit

-- name: next_due
SELECT due_at FROM documents INDEXED BY documents_due
WHERE kind = :kind AND due_at > 0
ORDER BY due_at
LIMIT 1 OFFSET :offset
