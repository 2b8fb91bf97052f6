#!/bin/sh
# name: guess the id from the clock
# class: CWE-330, insufficiently random values; OWASP ASVS 7.2.3
# victim: tutorial
# stops: session/id.rs Id::generate
# test: ids::an_id_is_128_random_bits_in_32_hex_digits
#
# A session's id is a password that the user never sees: with it, a request is the user's. The
# attacker asks: what is it made of? The tutorial's is the MD5 of the time of day. It has 32
# digits and looks random, but a hash adds nothing to what goes in. The attacker knows the time:
# every response has it, in its Date field. What is left is a few million possible times, and a
# computer tries these in a second.
#
# So the attacker takes an id before the user's login and one after it, computes the time of
# each, and tries the times in between. This needs a program, because a shell is too slow:
# src/attack/guess_id.rs.
#
# What should happen: no time of day gives an id of this server. An id of 128 random bits leaves
# nothing to try.

. "$(dirname "$0")/../lib.sh"

say 'The attacker tries all times of day between two ids of its own.'
outcome=0
"${LAB:?the path of dustdevil-lab}" attack guess-id "$address" || outcome=$?
case $outcome in
    0) held 'its ids are not the MD5 of the clock, as the tutorial makes them' ;;
    1) broken 'the id of the user was computed, and it opens the main page' ;;
    *) no_result 'the attack could not be made' ;;
esac
