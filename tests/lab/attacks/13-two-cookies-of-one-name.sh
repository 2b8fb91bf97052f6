#!/bin/sh
# name: two cookies of one name
# class: CWE-384, session fixation, by cookie tossing; RFC 6265bis section 8.6
# victim: tutorial
# stops: session/handle.rs Session::resolve
# test: sessions::of_several_session_cookies_the_live_one_counts
#
# A browser may have two cookies of the same name: one from this site, and one that a sibling
# domain or another path has planted. It sends both, without saying which is which. Servers take
# the first or the last, and the attacker can have it either way. If the planted one is the id of
# the attacker's own session, the user works in the attacker's account, and types a credit card
# number into it. If it is any text, the user is locked out.
#
# What should happen: an id that the server does not know hides no other. And if it knows both
# ids, it cannot tell which of them is the user's, so it uses none.

. "$(dirname "$0")/../lib.sh"

log_in_user
needs_session_id
say 'The attacker has a session, too.'
log_in attacker
genuine=$cookie_name=$(id_of user)
foreign=$cookie_name=$(id_of attacker)
unknown=$cookie_name=00000000000000000000000000000000
flaw=

say 'A cookie with any text is planted, before the one of the user or after it.'
for cookies in "$unknown; $genuine" "$genuine; $unknown"; do
    request user /main --cookie "$cookies"
    page_has "$main_text" || flaw='a cookie that opens nothing locks the user out'
done

say "The id of the attacker's session is planted, in both ways."
for cookies in "$foreign; $genuine" "$genuine; $foreign"; do
    request user /main --cookie "$cookies"
    if page_has "$main_text"; then
        flaw='the server chose one of two sessions, and cannot know which is the right one'
    fi
done

say 'With one cookie, the session is as it was.'
request user /main --cookie "$genuine"
page_has "$main_text" || flaw='the planted cookie has ended the session of the user'
[ -z "$flaw" ] || broken "$flaw"
held 'of two sessions none is used, and an unknown id hides no other'
