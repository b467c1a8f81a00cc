-- How many members of a sorted set come before a place in it; those of one score are in order, so halving finds it.
--
-- The place is that of a member with this score, which may be gone; `behind` counts that member too.
local function rank(key, score, id, behind)
  local low = redis.call('ZCOUNT', key, '-inf', '(' .. score)
  local high = low + redis.call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local found = redis.call('ZRANGE', key, middle, middle)[1]
    if found < id or behind and found == id then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end
