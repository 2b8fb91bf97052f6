#!/bin/sh
# Another site can make a browser send a form here, cookies and all, but it cannot read our
# pages. So a form counts only with a token that stood on one of them. (Cross-site request
# forgery, or XSRF, is what it is called to send one without.)

. "$(dirname "$0")/lib.sh"

# Without a token, the right password does not help.
browse /login --data 'username=admin&password=123' | expect 'HTTP/1.1 403 Forbidden'

# A token in the URL does not count: URLs end up in logs and histories, where others see them.
token=$(browse /login | find_token)
browse "/login?_xsrf=$token" --data 'username=admin&password=123' |
    expect 'HTTP/1.1 403 Forbidden'

# In the form it does.
browse /login --data "username=admin&password=123&_xsrf=$token" |
    expect 'HTTP/1.1 302 Found' 'Location: /main'

# The login has begun a new session, and the token of the old form is dead.
browse /logout --data "_xsrf=$token" | expect 'HTTP/1.1 403 Forbidden'
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'
