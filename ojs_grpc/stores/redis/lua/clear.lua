-- Removes everything at once, as fast as Redis looks through its keys.
--
-- KEYS      none: whatever is there
-- ARGV[1]   what every key matches
-- ARGV[2..] which of them stay, by what follows the partition
--
-- Result: none.

local SOME = 1000
local kept, cursor = {}, '0'
for arg = 2, #ARGV do
  kept[ARGV[arg]] = true
end
repeat
  local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', SOME)
  cursor = page[1]
  for _, name in ipairs(page[2]) do
    local kind = string.match(name, '^ojs:{..}:([^:]*)')
    if kind == 'events' then
      -- A stream that exists goes on counting.
      redis.call('XTRIM', name, 'MAXLEN', 0)
    elseif not kept[kind] then
      redis.call('UNLINK', name)
    end
  end
until cursor == '0'
