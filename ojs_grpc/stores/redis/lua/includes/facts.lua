-- Counts of queues, collected so that each costs one command a script. What is available is not counted here but in
-- the queue itself.

local MINUTE_MS = 60000
-- Longer than the hour that anybody asks about.
local MINUTES_KEPT_MS = 7200000
local facts_of_queues = {}

-- By what the counts of a queue are to grow: in all, `active`, `scheduled`, `retryable`, `discarded`, `completed`; of
-- the list of finished jobs, `gone` for names of jobs that were deleted, and `swept` for names that it has lost; in this
-- minute, `completed`, `duration`, `failed`, `claimed` and `wait`.
local function facts_of(prefix, queue)
  local facts = facts_of_queues[queue]
  if not facts then
    facts = { prefix = prefix, all = {}, minute = {} }
    facts_of_queues[queue] = facts
  end
  return facts
end

local function add(counts, name, amount)
  counts[name] = (counts[name] or 0) + amount
end

-- The name of the count of jobs in a state; nil if there is none.
local COUNT_OF_STATE = { [1] = 'scheduled', [4] = 'active', [6] = 'retryable', [8] = 'discarded' }

-- Counts a job that changes its state; nil: it was not, or will not be, there. Completions are counted elsewhere.
local function count_change(prefix, queue, from, to)
  local facts = facts_of(prefix, queue)
  local left, entered = COUNT_OF_STATE[from], COUNT_OF_STATE[to]
  if left then
    add(facts.all, left, -1)
  end
  if entered then
    add(facts.all, entered, 1)
  end
  return facts
end

local function write_facts(now)
  for queue, facts in pairs(facts_of_queues) do
    local prefix = facts.prefix
    local all = prefix .. 'facts:' .. queue
    for name, amount in pairs(facts.all) do
      if amount ~= 0 then
        redis.call('HINCRBY', all, name, amount)
      end
    end
    local minute = string.format(':%.0f', math.floor(now / MINUTE_MS))
    local key = prefix .. 'minute:' .. queue .. minute
    for name, amount in pairs(facts.minute) do
      if amount ~= 0 then
        if redis.call('HINCRBY', key, name, amount) == amount then
          redis.call('PEXPIRE', key, MINUTES_KEPT_MS)
        end
      end
    end
  end
  facts_of_queues = {}
end
