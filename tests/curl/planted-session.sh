#!/bin/sh
# Session fixation: the attacker has a victim log in with a session id that the attacker knows,
# and then uses the victim's session. Two rules prevent it: only the server creates ids, and
# each login rotates the id.

. "$(dirname "$0")/lib.sh"

# An id that the attacker invented is planted in the victim's browser, and the victim logs in.
planted=0123456789abcdef0123456789abcdef
token=$(browse /login --cookie "session_id=$planted" | find_token)
browse /login --cookie "session_id=$planted" \
    --data "username=admin&password=123&_xsrf=$token" | expect 'Location: /main'
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'

# The session has another id, and the planted one opens nothing.
[ "$(session_id)" != "$planted" ] || fail 'expected: another id; came: the planted one'
fetch /main --cookie "session_id=$planted" | expect 'Location: /login?next=%2Fmain'

# So the attacker has the server create one: a failed login creates a session, for the message
# that the form will show. Then the victim logs in with the same browser.
rm "$jar"
log_in admin wrong | expect 'Location: /login' 'Set-Cookie: session_id='
known=$(session_id)
log_in admin 123 | expect 'Location: /main' 'Set-Cookie: session_id='
browse /main | expect 'HTTP/1.1 200 OK' 'this is main page'

# Again the session has another id, and the known one opens nothing.
[ "$(session_id)" != "$known" ] || fail 'expected: another id; came: the known one'
fetch /main --cookie "session_id=$known" | expect 'Location: /login?next=%2Fmain'
