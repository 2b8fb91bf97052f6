#!/bin/sh
# name: toss an XSRF pair
# class: CWE-352, cross-site request forgery; OWASP ASVS 3.5.1
# victim: tutorial
# stops: web/exchange_xsrf.rs Exchange::check_xsrf_cookie
# test: xsrf::a_pair_of_cookie_and_token_that_was_not_issued_here_is_rejected
#
# A page of another site can make a browser send a form here, with the user's cookies. So a form
# needs a token. The naive way (double submit): the server sets a random cookie, `_xsrf`, and
# accepts a form with the same text in a field, because another site cannot read the cookie. But
# a sibling domain can write it! evil.example.com sets the cookie for all of example.com (cookie
# tossing), and puts the same text into its form. The server compares both, and they are equal.
#
# What should happen: a token that the server did not issue to this session is refused with 403,
# even if the cookie has it, too.

. "$(dirname "$0")/../lib.sh"

log_in_user
needs_session_id

say "The user's own form is accepted."
browse user /login
browse user /main --data "_xsrf=$(token)"
needs_page
[ "$status" -lt 400 ] || no_result 'the right token was refused, too'

say 'A form without a token is refused.'
browse user /main --data 'transfer=1000'
[ "$status" -ge 400 ] || broken 'a form needs no token at all'

say "The attacker's page sets a cookie, and sends its text in the form."
# Any text will do. This one is "made by me" in hexadecimal.
pair=6d616465206279206d65
request attacker /main --cookie "$cookie_name=$(id_of user); _xsrf=$pair" \
    --data "_xsrf=$pair"
case $status in
    4*) ;;
    5*) no_result "the target failed ($status)" ;;
    *) broken 'the attacker made both halves of the pair, and they are equal' ;;
esac

say 'The attacker takes a pair that the server has issued, to the attacker.'
browse attacker /login
issued=$(cookies_of attacker)
request attacker /main --cookie "$cookie_name=$(id_of user); _xsrf=${issued#*_xsrf=}" --data "_xsrf=$(token)"
case $status in
    4*) ;;
    5*) no_result "the target failed ($status)" ;;
    *) broken 'a pair that was issued to the attacker is accepted for the user' ;;
esac
held 'the token was not issued to this session'
