-- The script that wrk runs for `scale`: GET requests for one page, each with a session chosen
-- at random among all that the server has.
--
-- All requests have the same length, and no two are equal. So a request costs wrk the same with
-- a thousand sessions as with millions. Lua interns strings (it keeps one copy of equal
-- strings), and creates a string faster if it exists already; without the counter in the query
-- that would favour few sessions.

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

-- Prints one line that the driver parses: requests, errors, bytes, and then in microseconds the
-- duration, p50 and p99.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("figures %d %d %d %d %d %d\n", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99)))
end
