#!/bin/sh
# name: guess passwords without limit
# class: CWE-307, excessive authentication attempts; OWASP ASVS 6.3.1
# victim: tutorial
# stops: web/throttle.rs Throttle::attempt
# test: login::guessing_is_throttled_for_each_name_and_address
#
# People choose passwords that others have chosen before, and lists of these are public. The
# attacker needs no idea, only tries: a server that answers a thousand of them per second has
# gone through a list of ten million in three hours. The list below has eleven, and the right
# one is the last.
#
# What should happen: after a few wrong guesses the server does not check the next ones, right or
# wrong (429), and the attacker learns nothing from them.

. "$(dirname "$0")/../lib.sh"

log_in_user 'The user can log in.'

for guess in 12345 123456 password qwerty letmein iloveyou admin dragon monkey 111111 \
    "$password"; do
    say "The attacker tries '$guess'."
    # A limit that is kept in the cookies of the attacker is none.
    rm -f "$directory/attacker.cookies"
    log_in attacker "$guess"
    if [ "$status" = 429 ]; then
        held 'the server stopped checking guesses'
    fi
done
browse attacker /main
if page_has "$main_text"; then
    broken 'the password was found, and the server would have checked any number of guesses'
fi
needs_answer
held 'the right password was not accepted any more'
