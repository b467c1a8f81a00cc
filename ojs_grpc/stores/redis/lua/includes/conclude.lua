-- @include later
-- @include effects
-- @include facts
-- @include log
-- @include ready

-- Does what was collected about jobs, so that it can be asked for again.
local function catch_up(process)
  send_all()
  open_lines(process)
  if uses_lanes then
    lanes().settle_lanes()
  end
end

-- Does all that was collected; returns the names of the queues that may have jobs to claim now.
local function conclude(now, process)
  catch_up(process)
  if uses_lanes then
    lanes().wake_freed(now, process)
  end
  write_facts(now)
  write_log(now)
  return opened_queues()
end
