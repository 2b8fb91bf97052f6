#!/bin/sh
# Request smuggling: if a proxy reads one request in the bytes in which the server reads two,
# the second one is smuggled past the proxy. So a request that could be read in two ways is
# rejected. The response says what was wrong, and the connection is closed, because it is not
# known where the next request begins.

. "$(dirname "$0")/lib.sh"

# No Host: which site is meant?
printf '%s\r\n' 'GET /hello HTTP/1.1' '' | send |
    expect 'HTTP/1.1 400 Bad Request' 'Connection: close' 'There is no Host field.'

# Two spaces: is the second one a part of the target?
printf '%s\r\n' 'GET  /hello HTTP/1.1' 'Host: here' '' | send |
    expect 'HTTP/1.1 400 Bad Request' 'Connection: close' \
        'The request line is not a method, a target and a version with one space between.'

# Two ways to find the end of the content: by the length, all that follows is content; by the
# chunks, the content ends with the 0, and after it comes another request.
response=$(
    printf '%s\r\n' 'POST /login HTTP/1.1' 'Host: here' 'Content-Length: 40' \
        'Transfer-Encoding: chunked' '' 0 '' 'GET /hello HTTP/1.1' 'Host: here' '' | send
)
printf '%s\n' "$response" | expect 'HTTP/1.1 400 Bad Request' 'Connection: close' \
    'Content-Length and Transfer-Encoding must not be combined.'
printf '%s\n' "$response" | expect_no 'Hello, world!'
