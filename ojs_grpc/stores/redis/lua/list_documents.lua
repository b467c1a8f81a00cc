-- Lists documents of one kind by name.
--
-- KEYS[1]   documents:<kind>
-- KEYS[2]   names:<kind>
-- ARGV[1]   only those with greater names
-- ARGV[2]   at most so many
--
-- Result: how many there are in all; then name and value of each.

local result = { redis.call('HLEN', KEYS[1]) }
for _, name in ipairs(redis.call('ZRANGEBYLEX', KEYS[2], '(' .. ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  result[#result + 1] = name
  result[#result + 1] = redis.call('HGET', KEYS[1], name)
end
return result
