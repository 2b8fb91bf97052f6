#!/bin/sh
# A visitor logs in, sees the main page, and logs out. From then on the page needs a login
# again: for the browser, which has deleted its cookie, and for an attacker with a copy of that
# cookie (session hijacking). The session itself has ended on the server, not only in one
# browser.

. "$(dirname "$0")/lib.sh"

# Without a session, the page redirects to the form, which will redirect back to the page.
browse /main | expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'

# The form goes back with a name, a password, and the token that it contained.
token=$(browse /login | find_token)
browse /login --data "username=admin&password=123&_xsrf=$token" |
    expect 'HTTP/1.1 302 Found' 'Location: /main' 'Set-Cookie: session_id='
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'

# An attacker copies the cookie, and gets the page as well.
copy=$(session_id)
fetch /main --cookie "session_id=$copy" | expect 'HTTP/1.1 200 OK' 'this is main page'

# Logging out is a form of its own, on the main page.
token=$(browse /main | find_token)
browse /logout --data "_xsrf=$token" | expect 'HTTP/1.1 302 Found' 'Location: /login'

# Now neither the browser nor the copy gets the page.
browse /main | expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'
fetch /main --cookie "session_id=$copy" |
    expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'
