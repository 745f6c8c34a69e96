-- Asks again and again and tells the result as JSON. An answer of 400 or more is unexpected, or, where EXPECTED says so,
-- every other answer is.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
  thread:set("number", #threads)
end

function done(summary, latency)
  local errors = summary.errors
  local unexpected = errors.status
  if tonumber(os.getenv("EXPECTED") or "200") >= 400 then
    unexpected = summary.requests - errors.status
  end
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50": %.1f, "p99": %.1f, "unexpected": %d, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), unexpected,
    errors.connect + errors.read + errors.write + errors.timeout))
end
