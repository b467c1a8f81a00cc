-- Stops or starts delivery from a queue, which exists from now on.
--
-- KEYS[1]   ready:<queue>
-- ARGV[1]   now
-- ARGV[2]   the calling process
-- ARGV[3]   1 to log events, else 0
-- ARGV[4]   1 to stop, 0 to start
-- ARGV[5..] the event: its partition's prefix, kind, subject, detail
--
-- Result: 1, or 0 if it was so before.

-- @include effects
-- @include log

local prefix, queue = string.sub(KEYS[1], 1, 9), string.sub(KEYS[1], 16)
redis.call('HSETNX', prefix .. 'queues', queue, ARGV[1])
local changed = redis.call(ARGV[4] == '1' and 'SADD' or 'SREM', prefix .. 'paused', queue)
if changed == 0 then
  return 0
end
if ARGV[3] == '1' then
  log(ARGV[5], tonumber(ARGV[6]), 0, 0, ARGV[7], ARGV[8])
end
write_log(tonumber(ARGV[1]))
if ARGV[4] == '0' then
  announce(queue, ARGV[2])
end
return 1
