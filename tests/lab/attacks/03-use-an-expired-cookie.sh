#!/bin/sh
# name: use a cookie after its expiry
# class: CWE-613, insufficient session expiration; OWASP ASVS 7.3.1
# victim: tutorial
# stops: session/memory/entry.rs Entry::expiry
# test: sessions::an_old_cookie_finds_nothing_after_the_session_has_expired
# idle: 2
#
# A cookie has a date on which it expires. But this date is a request to the browser: please
# forget the cookie then. A thief does not. An id that was copied years ago, from a backup, a
# proxy's log, or a computer that was sold, is worth as much as a new one, unless the server
# itself forgets the session.
#
# What should happen: after its expiry the id opens nothing. (The lab has sessions of two seconds
# here, so that the attack need not wait for five minutes.)

. "$(dirname "$0")/../lib.sh"

log_in_user
needs_session_id
copy=$(id_of user)
expiry=$(cut -s -f 5,6 "$directory/user.cookies" | grep "	$cookie_name\$" | cut -f 1)
[ "${expiry:-0}" -gt 0 ] || no_result 'the cookie of the session has no expiry'
seconds=$((expiry - $(date +%s) + 1))
[ $seconds -le 20 ] || no_result "the cookie expires in $seconds s; set it to 10 s for this attack"

say "The cookie expires. The browser deletes it, and the attacker does not. ($seconds s)"
sleep $seconds
request attacker /main --cookie "$cookie_name=$copy"
if page_has "$main_text"; then
    broken 'only the browser knows that the session has expired'
fi
needs_answer
held 'the session has expired on the server'
