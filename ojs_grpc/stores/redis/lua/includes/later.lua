-- Collects what one command does to one key, because each command costs more than its members: `later` notes,
-- `send_all` sends. Between the two a script must not ask for what it noted, nor note opposites for one member.

-- Lua hands at most 8000 values to a call.
local MOST_VALUES = 4000
local noted = {}

local function later(command, key, first, second)
  local keys = noted[command]
  if not keys then
    keys = {}
    noted[command] = keys
  end
  local values = keys[key]
  if not values then
    values = {}
    keys[key] = values
  end
  local size = #values
  values[size + 1] = first
  values[size + 2] = second
end

-- One command with many values, in as many calls as it takes.
local function send(command, key, values)
  for from = 1, #values, MOST_VALUES do
    redis.call(command, key, unpack(values, from, math.min(from + MOST_VALUES - 1, #values)))
  end
end

local function send_all()
  for command, keys in pairs(noted) do
    for key, values in pairs(keys) do
      send(command, key, values)
    end
  end
  noted = {}
end
