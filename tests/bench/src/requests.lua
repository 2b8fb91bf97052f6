-- What wrk asks: the requests of a file, in turn. All of them are of the same length; one of them may
-- also be several, for a server to read at once. Where that is so, wrk counts each answer.

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

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("figures %d %d %d %d %d %d\n", summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99)))
end
