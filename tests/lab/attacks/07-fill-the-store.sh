#!/bin/sh
# name: fill the store by looking
# class: CWE-770, allocation without limits; OWASP ASVS 7.6.2
# victim: tutorial
# stops: web/session_handler.rs SessionHandler::initialize
# test: sessions::five_hundred_read_only_visitors_create_no_session
#
# Most visitors never come back, and many are robots without a memory for cookies: they get a new
# session with every page. What does one cost? A few hundred bytes, until it expires; in the
# tutorial, for ever. A computer asks for 10,000 pages per second. The attacker needs no password
# and no trick, only time: the server runs out of memory.
#
# What should happen: looking creates no session. It begins with the first value that is stored
# in it, and the store has a limit.

. "$(dirname "$0")/../lib.sh"

log_in_user 'A session is worth something to a user that logs in.'
needs_session_id

say 'Two hundred visitors look at a page each, and none has a cookie.'
request visitor /main
needs_page
request visitor /login
pages='[1-100]'
curl --silent --max-time 30 --dump-header "$directory/heads" \
    "$address/main?$pages" "$address/login?$pages" > /dev/null ||
    no_result 'the target stopped answering'
answers=$(grep -c '^HTTP/[0-9.]* [23]' "$directory/heads" || true)
ids=$(tr -d '\r' < "$directory/heads" |
    sed -n "s/^[Ss]et-[Cc]ookie: $cookie_name=\([^;]*\).*/\1/p" | sort -u | wc -l | tr -d ' ')
echo "  < $answers responses, $ids different session ids"
[ "$answers" -eq 200 ] || no_result 'too few responses came back'
[ "$ids" -eq 0 ] || broken "looking at $answers pages has stored $ids sessions"
held 'looking creates no session'
