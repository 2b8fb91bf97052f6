#!/bin/sh
# name: lose values that others wrote
# class: CWE-362, race condition (lost update)
# victim: snapshot
# stops: session/memory/map.rs MemoryStore::set
# test: races::writes_of_different_names_all_survive
#
# The requests of one browser write different values: one the language, one the shopping cart. That
# is no race, is it? It is one if the session is loaded as a whole when a request begins, and saved
# as a whole when it ends: the save also writes back the values of the others, as they were when
# the request began. The last one to save wins, and all the others have lost what they wrote. Six
# known session libraries do this. (The tutorial does not! Its sessions are live: each value is
# written at once, alone. That is worth keeping, and Dustdevil has kept it.)
#
# An attacker can use it as well: a request that is slow enough takes back what another one wrote,
# such as `must_change_password`.
#
# What should happen: twenty requests write twenty values at the same moment, and all are there.

. "$(dirname "$0")/../lib.sh"

say 'The first request begins a session.'
browse attacker '/set?name=first'
needs_page
copy=$(cookies_of attacker)
[ -n "$copy" ] || no_result 'the target has no session'
request attacker /keys --cookie "$copy"
needs_page
page_has 'first' || no_result 'the target does not keep a value'

say 'Twenty requests write a value each, at the same moment.'
curl --silent --parallel --parallel-immediate --parallel-max 20 --max-time 20 \
    --cookie "$copy" "$address/set?name=value[1-20]" > "$directory/pages" ||
    no_result 'some of the requests had no answer'

say 'Which of them are in the session?'
request attacker /keys --cookie "$copy"
kept=$(grep -o 'value[0-9][0-9]*' "$directory/page" | sort -u | wc -l | tr -d ' ')
echo "  < ... $kept of 20"
[ "$kept" -eq 20 ] || broken "$kept of 20 values are left, and each request had an answer"
held 'all 20 values are there'
