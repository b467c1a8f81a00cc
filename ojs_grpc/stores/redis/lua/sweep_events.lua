-- Drops events that are too old or too many, oldest first.
--
-- KEYS      events of every partition
-- ARGV[1]   drop what was logged at this time or before
-- ARGV[2]   keep at most so many events in all, give or take those of one entry
-- ARGV[3]   look at most at so many entries, fewer if they are large
--
-- Result: 1 if that was not enough, else 0.

-- @include streams

-- An entry of this size is as much work as another entry.
local LARGE = 8192

local time, most, left = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local logged, dropped = tonumber(redis.call('GET', 'ojs:{00}:logged') or 0), {}
follow(KEYS, '-', {})
while left > 0 and next_source() do
  local source = next_source()
  left = left - 1 - #source.data / LARGE
  -- All that came since is still there.
  if source.at_time <= time or logged - source.number > most then
    dropped[source] = source.id
    advance()
  else
    leave_source()
  end
end
for source, id in pairs(dropped) do
  -- The first entry that stays, or none does.
  local kept = redis.call('XRANGE', source.key, '(' .. id, '+', 'COUNT', 1)[1]
  if kept then
    redis.call('XTRIM', source.key, 'MINID', kept[1])
  else
    redis.call('XTRIM', source.key, 'MAXLEN', 0)
  end
end
return left <= 0 and 1 or 0
