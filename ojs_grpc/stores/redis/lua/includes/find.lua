-- @include record

-- Finds a job from the key that its id gives, `ojs:{<end of id>}:j:<id>`. A client may have chosen an id that names
-- another partition than its queue's; then a pointer leads to it.
--
-- Returns its key, its partition's prefix `ojs:{pp}:`, its id, and the head of its record; nothing if there is no job.
local function find(key)
  local id = string.sub(key, 12)
  local head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
  if head == '' then
    local tag = redis.call('GET', string.sub(key, 1, 9) .. 'at:' .. id)
    if not tag then
      return nil
    end
    key = 'ojs:{' .. tag .. '}:j:' .. id
    head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
    if head == '' then
      return nil
    end
  end
  return key, string.sub(key, 1, 9), id, head
end
