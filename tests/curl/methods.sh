#!/bin/sh
# Methods (RFC 9110 section 9): a client can also ask for the header fields of a page alone, and
# for what the page supports. If the server refuses, it says what is possible.

. "$(dirname "$0")/lib.sh"

# HEAD is GET without the content, but with its length.
fetch /hello --head | expect 'HTTP/1.1 200 OK' 'Content-Length: 13'

# OPTIONS asks which methods the page supports.
fetch /main --request OPTIONS |
    expect 'HTTP/1.1 204 No Content' 'Allow: GET, POST, HEAD, OPTIONS'

# A method that the server knows and the page does not is 405; an unknown one is 501.
fetch /hello --request DELETE |
    expect 'HTTP/1.1 405 Method Not Allowed' 'Allow: GET, HEAD, OPTIONS'
fetch /hello --request BREW |
    expect 'HTTP/1.1 501 Not Implemented' 'Unknown method.'

# The response for a page that does not exist is a page, too.
fetch /nothing | expect 'HTTP/1.1 404 Not Found' 'Content-Type: text/html' \
    'There is no such page.'
