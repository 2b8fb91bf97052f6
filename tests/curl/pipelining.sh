#!/bin/sh
# Pipelining (RFC 9112 section 9.3.2): three requests are sent together, without waiting for
# responses. The responses come in the order of the requests. The one to HEAD has no content, or
# the next one would begin in the wrong place.

. "$(dirname "$0")/lib.sh"

responses=$(
    printf '%s\r\n' \
        'GET / HTTP/1.1' 'Host: localhost' '' \
        'HEAD /hello HTTP/1.1' 'Host: localhost' '' \
        'GET /nothing HTTP/1.1' 'Host: localhost' 'Connection: close' '' | send
)
printf '%s\n' "$responses" | grep -o 'HTTP/1.1 [0-9]*' | tr '\n' ' ' |
    expect 'HTTP/1.1 302 HTTP/1.1 200 HTTP/1.1 404'
printf '%s\n' "$responses" | expect_no 'Hello, world!'
