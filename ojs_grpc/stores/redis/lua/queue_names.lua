-- Lists the queues of all partitions, in no order.
--
-- KEYS      queues of every partition
--
-- Result: name and time of creation of each.

local result = {}
for _, key in ipairs(KEYS) do
  for _, value in ipairs(redis.call('HGETALL', key)) do
    result[#result + 1] = value
  end
end
return result
