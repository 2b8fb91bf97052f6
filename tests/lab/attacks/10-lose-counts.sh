#!/bin/sh
# name: lose 19 of 20 counts
# class: CWE-362, race condition (lost update); OWASP ASVS 15.4.1
# victim: snapshot
# stops: session/operations.rs Session::increment
# test: races::updates_of_one_counter_all_count
#
# To count, a program reads a number, adds one, and writes it back. Between the read and the write
# there is a moment, and if the sessions are in a database, it is long enough for other requests.
# The attacker sends twenty requests at the same moment. All read 0, and all write 1. Now think
# of a number that matters: the guesses that are left, the coupons that were used, the money that
# may be spent. With twenty requests at once, each of them sees the first coupon.
#
# What should happen: twenty requests are counted as twenty. The store adds, in one step.

. "$(dirname "$0")/../lib.sh"

say 'The first request begins a session.'
browse attacker /count
needs_page
first=$(grep -o '[0-9][0-9]*' "$directory/page" | sed 1q)
copy=$(cookies_of attacker)
[ -n "$first" ] && [ -n "$copy" ] || no_result 'the target does not count in a session'
page_has "$first"

say 'The attacker sends twenty more at the same moment.'
curl --silent --parallel --parallel-immediate --parallel-max 20 --max-time 20 \
    --cookie "$copy" "$address/count?[1-20]" > "$directory/pages" ||
    no_result 'some of the requests had no answer'

say 'One more, to see what was counted.'
request attacker /count --cookie "$copy"
last=$(grep -o '[0-9][0-9]*' "$directory/page" | sed 1q)
page_has "$last"
counted=$((last - first - 1))
[ $counted -ge 20 ] || broken "$counted of 20 requests were counted"
held 'all 20 requests were counted'
