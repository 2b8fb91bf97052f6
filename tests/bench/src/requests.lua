-- The script that wrk runs for `requests`: it sends the requests of a file in order, and starts
-- again at the end. The arguments are the file and the length of a request; all requests have
-- the same length. A "request" may be several pipelined ones (RFC 9112 section 9.3.2), of which
-- wrk counts each response.

local requests = {}
local number = 0

function init(arguments)
   local file, length = assert(io.open(arguments[1], "rb")), tonumber(arguments[2])
   for request in function() return file:read(length) end do
      requests[#requests + 1] = request
   end
end

function request()
   number = number % #requests + 1
   return requests[number]
end

-- Prints one line that the driver parses: requests, errors, bytes, and then in microseconds the
-- duration, p50 and p99.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("figures %d %d %d %d %d %d\n", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99)))
end
