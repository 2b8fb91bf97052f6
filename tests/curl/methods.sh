#!/bin/sh
# A page can be asked for more than itself: what it would be like, and what it can do. Where the
# server says no, it says what would have been possible.

. "$(dirname "$0")/lib.sh"

# HEAD is GET without the content, whose length is told all the same.
fetch /hello --head | expect 'HTTP/1.1 200 OK' 'Content-Length: 13'

# OPTIONS asks what the page can do.
fetch /main --request OPTIONS |
    expect 'HTTP/1.1 204 No Content' 'Allow: GET, POST, HEAD, OPTIONS'

# A method that the server knows and the page does not is 405; one that nobody knows is 501.
fetch /hello --request DELETE |
    expect 'HTTP/1.1 405 Method Not Allowed' 'Allow: GET, HEAD, OPTIONS'
fetch /hello --request BREW |
    expect 'HTTP/1.1 501 Not Implemented' 'Unknown method.'

# And a page that is not there is still answered with a page.
fetch /nothing | expect 'HTTP/1.1 404 Not Found' 'Content-Type: text/html' \
    'There is no such page.'
