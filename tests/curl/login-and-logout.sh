#!/bin/sh
# A visitor logs in, sees the main page, and logs out. From then on the page is closed again:
# to the browser, which has thrown its cookie away, and to whoever kept a copy of that cookie.
# The session itself has ended, and not only one browser's memory of it.

. "$(dirname "$0")/lib.sh"

# Strangers are sent to the form, which will send them on to where they wanted to go.
browse /main | expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'

# The form goes back with a name, a password, and the token that stood on it.
token=$(browse /login | find_token)
browse /login --data "username=admin&password=123&_xsrf=$token" |
    expect 'HTTP/1.1 302 Found' 'Location: /main' 'Set-Cookie: session_id='
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'

# Somebody copies the cookie, and it opens the page for them as well.
copy=$(session_id)
fetch /main --cookie "session_id=$copy" | expect 'HTTP/1.1 200 OK' 'this is main page'

# Logging out is a form of its own, on the main page.
token=$(browse /main | find_token)
browse /logout --data "_xsrf=$token" | expect 'HTTP/1.1 302 Found' 'Location: /login'

# Neither the browser nor the copy gets in any more.
browse /main | expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'
fetch /main --cookie "session_id=$copy" |
    expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'
