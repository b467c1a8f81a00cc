-- Logs events that belong to no change.
--
-- KEYS      none: the events say their partitions
-- ARGV[1]   now
-- ARGV[2..] event by event: its partition's prefix, kind, subject, detail
--
-- Result: none.

-- @include log

for arg = 2, #ARGV, 4 do
  log(ARGV[arg], tonumber(ARGV[arg + 1]), 0, 0, ARGV[arg + 2], ARGV[arg + 3])
end
write_log(tonumber(ARGV[1]))
