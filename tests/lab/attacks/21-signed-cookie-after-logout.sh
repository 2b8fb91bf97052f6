#!/bin/sh
# name: signed cookie after the logout
# class: CWE-613, insufficient session expiration; OWASP ASVS 7.4.1
# victim: signed
# stops: session/memory/shard.rs Shard::destroy
# test: sessions::destroy_ends_the_session_and_deletes_the_cookie
#
# A signed cookie needs no store: it says `user=admin`, and a signature proves that the server
# wrote it. That is fast, and it cannot be forged. But it cannot be taken back, either: the
# signature stays right after the logout, after a new password, after the user was dismissed. The
# logout asks the browser to delete the cookie. The attacker has copied it before.
#
# What should happen: the logout makes every copy worthless, for which the server must remember
# something: the session. (The same holds for a JWT; a list of revoked ones is a session store by
# another name.)

. "$(dirname "$0")/../lib.sh"

log_in_user
copy=$(cookies_of user)
echo "  the cookies: $copy"

say 'The cookie cannot be forged: one character more, and it is refused.'
request attacker /main --cookie "${copy}0"
if page_has "$main_text"; then
    no_result 'the cookie is not checked at all'
fi

say 'The user logs out. The browser deletes the cookie.'
browse user /main
browse user /logout --data "_xsrf=$(token)"
needs_page
[ "$status" -lt 400 ] || no_result 'the user could not log out'
browse user /main
if page_has "$main_text"; then
    no_result 'the user is still logged in'
fi

say 'The attacker has a copy.'
request attacker /main --cookie "$copy"
if page_has "$main_text"; then
    broken 'the copy opens the page after the logout; a signature cannot be taken back'
fi
needs_answer
held 'the session has ended, and the cookie is only its name'
