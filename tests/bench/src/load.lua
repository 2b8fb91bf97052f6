-- What wrk asks: a page, each time with another session out of all that a server has.
--
-- Every request is of the same length and unlike all others, so that making it costs wrk the same,
-- whether it chooses from a thousand sessions or from millions: Lua keeps one copy of equal strings,
-- and is quicker with those that it has seen.

local path, sessions
local number = 0

function init(arguments)
   path, sessions = arguments[1], tonumber(arguments[2])
   math.randomseed(tonumber(arguments[3]))
end

function request()
   number = number + 1
   return string.format(
      "GET %s?%010d HTTP/1.1\r\nHost: localhost\r\nCookie: session_id=%032x\r\n\r\n",
      path, number, math.random(sessions))
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("figures %d %d %d %d %d %d\n", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99)))
end
