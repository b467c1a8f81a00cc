-- Looks at some workers.
--
-- KEYS      worker by worker: beat:<worker> and places:<worker>, in the partition of its name
--
-- Result: for each when it last sent a heartbeat (0: never), the state that it reported, and how many jobs it holds.

-- @include beat

local result = {}
for place = 1, #KEYS, 2 do
  local worker, held = string.sub(KEYS[place], 15), 0
  local beat, state = last_beat(string.sub(KEYS[place], 1, 9), worker)
  for _, tag in ipairs(redis.call('SMEMBERS', KEYS[place + 1])) do
    held = held + redis.call('SCARD', 'ojs:{' .. tag .. '}:held:' .. worker)
  end
  local size = #result
  result[size + 1], result[size + 2], result[size + 3] = beat or 0, state, held
end
return result
