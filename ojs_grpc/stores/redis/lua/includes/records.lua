-- @include later

-- Records of new jobs, collected because one command for all is cheaper.

local records = {}

local function write_records()
  for from = 1, #records, MOST_VALUES do
    redis.call('MSET', unpack(records, from, math.min(from + MOST_VALUES - 1, #records)))
  end
  records = {}
end
