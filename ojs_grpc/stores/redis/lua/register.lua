-- Notes where workers claim, so that their heartbeats reach what they hold, and takes their last beat there.
--
-- KEYS      place by place: places:<worker> and beat:<worker> of the worker's own partition, beat:<worker> of the place
-- ARGV[1]   how many ms to remember
--
-- Result: none.

for place = 1, #KEYS, 3 do
  redis.call('SADD', KEYS[place], string.sub(KEYS[place + 2], 6, 7))
  redis.call('PEXPIRE', KEYS[place], ARGV[1])
  local beat = redis.call('GET', KEYS[place + 1])
  if beat then
    redis.call('SET', KEYS[place + 2], beat, 'PX', ARGV[1])
  end
end
