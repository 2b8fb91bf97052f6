#!/bin/sh
# Session fixation: the attacker has a victim log in with a session id that the attacker knows,
# and then walks in with it. Two things stand against that: ids are made by the server alone,
# and each login gets a new one.

. "$(dirname "$0")/lib.sh"

# An id that the attacker thought of is planted in the victim's browser, and the victim logs in.
planted=0123456789abcdef0123456789abcdef
token=$(browse /login --cookie "session_id=$planted" | find_token)
browse /login --cookie "session_id=$planted" \
    --data "username=admin&password=123&_xsrf=$token" | expect 'Location: /main'
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'

# The session has another id, and the planted one opens nothing.
[ "$(session_id)" != "$planted" ] || fail 'expected: another id; came: the planted one'
fetch /main --cookie "session_id=$planted" | expect 'Location: /login?next=%2Fmain'

# So the attacker has the server make one: a failed login begins a session, for the message that
# the form will show. Then the victim logs in, with that very browser.
rm "$jar"
log_in admin wrong | expect 'Location: /login' 'Set-Cookie: session_id='
known=$(session_id)
log_in admin 123 | expect 'Location: /main' 'Set-Cookie: session_id='
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'

# Again the session has another id, and the known one opens nothing.
[ "$(session_id)" != "$known" ] || fail 'expected: another id; came: the known one'
fetch /main --cookie "session_id=$known" | expect 'Location: /login?next=%2Fmain'
