-- Documents: for each kind a hash of values by name (the version, when it is due, the data), its names in order, and
-- those that wait for a time.

-- The version of a document, 0 if there is none.
local function version_of(key, name)
  local value = redis.call('HGET', key, name)
  return value and struct.unpack('<i8', value) or 0
end

-- Writes, or deletes if there is no data. Versions are never used twice, whatever was deleted.
local function write_document(key, name, has_data, data, due_at)
  local prefix, kind = string.sub(key, 1, 9), string.sub(key, 20)
  if not has_data then
    redis.call('HDEL', key, name)
    redis.call('ZREM', prefix .. 'names:' .. kind, name)
  else
    local version = redis.call('INCR', prefix .. 'version')
    redis.call('HSET', key, name, struct.pack('<i8i8', version, due_at) .. data)
    redis.call('ZADD', prefix .. 'names:' .. kind, 0, name)
  end
  if has_data and due_at > 0 then
    redis.call('ZADD', prefix .. 'wakes:' .. kind, due_at, name)
  else
    redis.call('ZREM', prefix .. 'wakes:' .. kind, name)
  end
end
