#!/bin/sh
# Cross-site request forgery (CSRF, or XSRF): another site can make a browser send a form here,
# with its cookies, but it cannot read our pages. So a form counts only with a token that one of
# these pages contained.

. "$(dirname "$0")/lib.sh"

# Without a token, the right password does not help.
browse /login --data 'username=admin&password=123' | expect 'HTTP/1.1 403 Forbidden'

# A token in the URL does not count: URLs end up in logs and histories, which others can read.
token=$(browse /login | find_token)
browse "/login?_xsrf=$token" --data 'username=admin&password=123' |
    expect 'HTTP/1.1 403 Forbidden'

# In the form it does.
browse /login --data "username=admin&password=123&_xsrf=$token" |
    expect 'HTTP/1.1 302 Found' 'Location: /main'

# The login has created a new session, and the token of the old form is invalid.
browse /logout --data "_xsrf=$token" | expect 'HTTP/1.1 403 Forbidden'
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'
