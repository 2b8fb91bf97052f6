#!/bin/sh
# What two servers could read in two ways, this one does not read at all: where one sees one
# request and the other sees two, the second is smuggled past the first. The answer is a
# sentence that says what was wrong, and the end of the connection, for nobody can tell where
# the next request begins.

. "$(dirname "$0")/lib.sh"

# No Host: which site is meant?
printf '%s\r\n' 'GET /hello HTTP/1.1' '' | send |
    expect 'HTTP/1.1 400 Bad Request' 'Connection: close' 'There is no Host field.'

# Two spaces: is the second one a part of the target?
printf '%s\r\n' 'GET  /hello HTTP/1.1' 'Host: here' '' | send |
    expect 'HTTP/1.1 400 Bad Request' 'Connection: close' \
        'The request line is not a method, a target and a version with one space between.'

# Two ways to tell where the content ends: by the length, all that follows is content; by the
# chunks, the content ends with the 0, and behind it comes another request.
answer=$(
    printf '%s\r\n' 'POST /login HTTP/1.1' 'Host: here' 'Content-Length: 40' \
        'Transfer-Encoding: chunked' '' 0 '' 'GET /hello HTTP/1.1' 'Host: here' '' | send
)
printf '%s\n' "$answer" | expect 'HTTP/1.1 400 Bad Request' 'Connection: close' \
    'Content-Length and Transfer-Encoding must not be combined.'
printf '%s\n' "$answer" | expect_no 'Hello, world!'
