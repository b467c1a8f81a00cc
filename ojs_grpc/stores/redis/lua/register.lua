-- Notes where workers claim, so that their heartbeats reach what they hold, and takes their last beat there.
--
-- KEYS      place by place: places:<worker> and beat:<worker> of the worker's own partition, beat:<worker> of the place
-- ARGV[1]   now
-- ARGV[2]   how many ms to remember
--
-- Result: none.

-- @include known

for place = 1, #KEYS, 3 do
  know(string.sub(KEYS[place], 17), ARGV[1], ARGV[2])
  redis.call('SADD', KEYS[place], string.sub(KEYS[place + 2], 6, 7))
  redis.call('PEXPIRE', KEYS[place], ARGV[2])
  local beat = redis.call('GET', KEYS[place + 1])
  if beat then
    redis.call('SET', KEYS[place + 2], beat, 'PX', ARGV[2])
  end
end
