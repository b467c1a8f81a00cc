-- Finds documents of one kind whose time has come, earliest first.
--
-- KEYS[1]   documents:<kind>
-- KEYS[2]   wakes:<kind>
-- ARGV[1]   now
-- ARGV[2]   at most so many
--
-- Result: when the next one will be due, false if there is none; then name and value of each.

local result = { false }
local names = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, name in ipairs(names) do
  result[#result + 1] = name
  result[#result + 1] = redis.call('HGET', KEYS[1], name)
end
local following = redis.call('ZRANGE', KEYS[2], #names, #names, 'WITHSCORES')
result[1] = following[2] and tonumber(following[2]) or false
return result
