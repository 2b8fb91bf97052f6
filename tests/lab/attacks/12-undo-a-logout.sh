#!/bin/sh
# name: undo a logout by a slow request
# class: CWE-613, insufficient session expiration, by CWE-362, a race; OWASP ASVS 7.4.1
# victim: snapshot
# stops: session/handle.rs Session::with_known_key
# test: sessions::a_request_in_flight_cannot_bring_a_logged_out_session_back
#
# A logout deletes the session. But what if a request is still running that began before? If it
# has loaded the session as a whole, it has a copy, with the name of the user. When it is done, it
# saves the copy, and the session is back. The attacker who has a copy of the cookie need not even
# be quick: one slow request at any time, a large upload or a report, survives the logout.
#
# What should happen: what the slow request writes after the logout goes nowhere.

. "$(dirname "$0")/../lib.sh"

log_in_user
copy=$(cookies_of user)
form="_xsrf=$(token)"

say 'The attacker has a copy of the cookie, and starts a request that takes some seconds.'
curl --silent --max-time 20 --cookie "$copy" --output "$directory/slow" \
    --write-out '%{http_code}' "$address/slow" > "$directory/slow-status" &
slow=$!
printf '%s\n' attacker '  > GET /slow'
sleep 1

say 'In the meantime, the user logs out.'
browse user /logout --data "$form"
needs_page
[ "$status" -lt 400 ] || no_result 'the user could not log out'
[ ! -s "$directory/slow-status" ] || no_result 'the slow request ended before the logout'
request attacker /main --cookie "$copy"
if page_has "$main_text"; then
    no_result 'the logout did not work even without the slow request'
fi

say 'The slow request ends.'
wait $slow || no_result 'the slow request had no answer'
slow_status=$(cat "$directory/slow-status")
printf '%s\n' attacker "  < $slow_status"
[ "$slow_status" != 404 ] || no_result 'the target has no page for /slow'

say 'The attacker uses the copy of the cookie.'
request attacker /main --cookie "$copy"
if page_has "$main_text"; then
    broken 'the slow request has brought the session back'
fi
needs_answer
held 'what the slow request wrote went nowhere'
