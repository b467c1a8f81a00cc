-- @include states
-- @include find
-- @include holder
-- @include records

-- The duplicate of a job that is to be unique.

local function is_newer(created_at, id, than)
  return not than or created_at > than.created_at or created_at == than.created_at and id > than.id
end

-- The newest job with a fingerprint in one of some states, given as digits; `changes` are the jobs with this fingerprint
-- that count as changed: by id their creation and the state they will have.
local function newest_twin(fingerprint, states, changes)
  local newest, changed, lists = nil, 0, {}
  for id, change in pairs(changes) do
    changed = changed + 1
    if string.find(states, change.state, 1, true) and is_newer(change.created_at, id, newest) then
      newest = { id = id, created_at = change.created_at }
    end
  end
  for digit in string.gmatch(states, '%d') do
    lists[#lists + 1] = links().twins(fingerprint, digit)
  end
  -- Mostly there is none.
  if #lists == 0 or redis.call('EXISTS', unpack(lists)) == 0 then
    return newest
  end
  for _, list in ipairs(lists) do
    local found = redis.call('ZREVRANGE', list, 0, changed, 'WITHSCORES')
    for place = 1, #found, 2 do
      local id, created_at = found[place], tonumber(found[place + 1])
      if not changes[id] and is_newer(created_at, id, newest) then
        newest = { id = id, created_at = created_at }
      end
    end
  end
  return newest
end

-- The record and the worker of a duplicate as it stands; nil if there is none.
local function twin_of(fingerprint, states, period, changes, now)
  local newest = newest_twin(fingerprint, states, changes)
  if not newest or period > 0 and now >= newest.created_at + period then
    return nil
  end
  write_records()
  local key, prefix, id, head = find('ojs:{' .. string.sub(newest.id, -2) .. '}:j:' .. newest.id)
  if not key then
    return nil
  end
  local worker = string.byte(head) == ACTIVE and select(2, holder_of(prefix, id)) or ''
  return redis.call('GET', key), worker
end
