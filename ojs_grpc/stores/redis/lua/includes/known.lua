-- Notes that a worker was heard of, and for how many ms.
local function know(worker, now, memory_ms)
  redis.call('ZADD', 'ojs:{00}:workers', now, worker)
  redis.call('PEXPIRE', 'ojs:{00}:workers', memory_ms)
end
