-- Finds what was leased by claims whose answers were lost, and lets none of them lease anything from now on.
--
-- KEYS[1]   claimed:<process>
-- ARGV[1]   a number greater than those of all claims of the process so far
-- ARGV[2]   how many ms to remember
-- ARGV[3..] the numbers of the claims
--
-- Result: the record and the worker of each job that is still active under such a lease.

-- @include states
-- @include record
-- @include holder

local lost, result = {}, {}
for place = 3, #ARGV do
  lost[ARGV[place]] = true
end
local memory = redis.call('GET', KEYS[1]) or ''
-- As claim.lua wrote it.
for nonce, prefix, first, last, ids in string.gmatch(memory, '\n(%d+) (%S+) (%d+) (%d+)([^\n]*)') do
  for id in string.gmatch(lost[nonce] and ids or '', '%S+') do
    local record = redis.call('GET', prefix .. 'j:' .. id)
    if record then
      decode(record)
    end
    if record and job.state == ACTIVE and job.lease >= tonumber(first) and job.lease <= tonumber(last) then
      local _, worker = holder_of(prefix, id)
      result[#result + 1] = record
      result[#result + 1] = worker
    end
  end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return result
