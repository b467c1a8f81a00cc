-- Looks at some queues.
--
-- KEYS      ready:<queue> of each
--
-- Result: how many of its jobs are available, and whether it is paused (1 or 0), for each.

local result = {}
for place, key in ipairs(KEYS) do
  result[2 * place - 1] = redis.call('ZCARD', key)
  result[2 * place] = redis.call('SISMEMBER', string.sub(key, 1, 9) .. 'paused', string.sub(key, 16))
end
return result
