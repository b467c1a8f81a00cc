-- Lists jobs out of indexes, from a place on.
--
-- KEYS      the indexes
-- ARGV[1]   how to read them: `times` together, earliest first; one after the other, `up`, `down`, or as `list`s from
--           their ends
-- ARGV[2]   the state of the jobs wanted
-- ARGV[3]   their queue, '' for any
-- ARGV[4]   at most so many
-- ARGV[5]   at most so many bytes, but one job at least if
-- ARGV[6]   this is 1
-- ARGV[7]   look at most at so many
-- ARGV[8]   list what stands behind the member of this index, counted from 1,
-- ARGV[9]   with this score; of a list, at this position, which counts those that were swept before
-- ARGV[10]  which is this one, '' to begin with the index
--
-- Result: 1 if the end was reached, else 0; how many were looked at; index, score and member of the last one; then
-- record and worker of each job.

-- @include states
-- @include record
-- @include holder
-- @include earliest
-- @include rank

local AHEAD = 64
local FOREVER = 2 ^ 53
local how, state, queue = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local left, room, must, looks = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7])
local first, score, last = tonumber(ARGV[8]), ARGV[9], ARGV[10]
local result = { 0, 0, first, score, last }

local function is_wanted(head)
  if head == '' then
    return false
  end
  decode(head)
  return job.state == state and (queue == '' or job.queue == queue)
end

-- Looks at what an index names; false if that does not fit any more.
local function take(prefix, id, index, at)
  if result[2] == looks then
    return false
  end
  local key = prefix .. 'j:' .. id
  local head = redis.call('GETRANGE', key, 0, HEAD_SIZE - 1)
  if is_wanted(head) then
    if left == 0 then
      return false
    end
    local record = #head < HEAD_SIZE and head or redis.call('GET', key)
    local worker = state == ACTIVE and select(2, holder_of(prefix, id)) or ''
    if room < #record + #worker and not must then
      return false
    end
    left, room, must = left - 1, room - #record - #worker, false
    local size = #result
    result[size + 1], result[size + 2] = record, worker
  end
  result[2], result[3], result[4], result[5] = result[2] + 1, index, at, id
  return true
end

local function list_times()
  watch(KEYS, function(key, place)
    if last == '' then
      return 0
    elseif place == first then
      return rank(key, score, last, true)
    end
    return redis.call('ZCOUNT', key, '-inf', place < first and score or '(' .. score)
  end)
  while next_time() do
    local prefix, id, time, place = next_until(FOREVER)
    if not take(prefix, id, place, string.format('%.0f', time)) then
      return false
    end
  end
  return true
end

local function list_set(key, index, command, from)
  local prefix = string.sub(key, 1, 9)
  repeat
    local page = redis.call(command, key, from, from + AHEAD - 1, 'WITHSCORES')
    for at = 1, #page, 2 do
      if not take(prefix, page[at], index, page[at + 1]) then
        return false
      end
    end
    from = from + AHEAD
  until #page < 2 * AHEAD
  return true
end

local function list_list(key, index, goes_on)
  local prefix, queue_of_list = string.sub(key, 1, 9), string.sub(key, 15)
  -- A list loses members at its beginning, and so moves there.
  local swept = tonumber(redis.call('HGET', prefix .. 'facts:' .. queue_of_list, 'swept') or 0)
  local to = (goes_on and math.min(score - swept, redis.call('LLEN', key)) or redis.call('LLEN', key)) - 1
  while to >= 0 do
    local from = math.max(to - AHEAD + 1, 0)
    local page = redis.call('LRANGE', key, from, to)
    for at = #page, 1, -1 do
      if not take(prefix, page[at], index, string.format('%.0f', swept + from + at - 1)) then
        return false
      end
    end
    to = from - 1
  end
  return true
end

local function list_index(index)
  local key = KEYS[index]
  local goes_on = index == first and last ~= ''
  if how == 'up' then
    return list_set(key, index, 'ZRANGE', goes_on and rank(key, score, last, true) or 0)
  elseif how == 'down' then
    return list_set(key, index, 'ZREVRANGE', goes_on and redis.call('ZCARD', key) - rank(key, score, last, false) or 0)
  end
  return list_list(key, index, goes_on)
end

local function list_all()
  for index = first, #KEYS do
    if not list_index(index) then
      return false
    end
  end
  return true
end

local ended
if how == 'times' then
  ended = list_times()
else
  ended = list_all()
end
result[1] = ended and 1 or 0
return result
