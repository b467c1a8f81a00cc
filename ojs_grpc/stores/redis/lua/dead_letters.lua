-- Lists dead letters by queue, oldest first.
--
-- KEYS      dead:<queue> of each queue, in the order of the listing
-- ARGV[1]   at most so many
-- ARGV[2]   at most so many bytes, but one job at least
-- ARGV[3]   the queue to begin with, counted from 1
-- ARGV[4]   in that queue, list only what ended later than this, or
-- ARGV[5]   at this time but with a greater id
--
-- Result: how many there are in all queues; 1 if there are more after these, else 0; id and record of each.

-- @include rank

local left, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local first, ended_at, last_id = tonumber(ARGV[3]), ARGV[4], ARGV[5]
local result = { 0, 0 }

-- Adds what fits of one queue from a rank on.
local function list(key, from)
  for _, id in ipairs(redis.call('ZRANGE', key, from, from + left)) do
    local record = redis.call('GET', string.sub(key, 1, 9) .. 'j:' .. id)
    if record and (left == 0 or room < #record and #result > 2) then
      left, result[2] = 0, 1
      return
    elseif record then
      left, room = left - 1, room - #record
      result[#result + 1] = id
      result[#result + 1] = record
    end
  end
end

for place, key in ipairs(KEYS) do
  result[1] = result[1] + redis.call('ZCARD', key)
  if place >= first and result[2] == 0 then
    list(key, place == first and ended_at ~= '' and rank(key, ended_at, last_id, true) or 0)
  end
end
return result
