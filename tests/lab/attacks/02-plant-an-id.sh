#!/bin/sh
# name: plant an id (session fixation)
# class: CWE-384, session fixation; OWASP ASVS 7.2.4
# victim: tutorial
# stops: session/login.rs Session::bind_user
# test: login::a_session_id_that_was_known_before_the_login_opens_nothing_after_it
#
# The attacker need not find out the id of the user if the user takes that of the attacker. The
# server gives an id to every visitor. The attacker puts such an id into the browser of the user:
# by a page of a sibling domain (evil.example.com may set cookies for example.com), or by using
# the same computer before. Then the attacker waits. If the login leaves the id as it is, the id
# that the attacker knows has become that of a logged-in user.
#
# What should happen: the login gives the session another id, and the old one opens nothing.

. "$(dirname "$0")/../lib.sh"

say 'The attacker has the server make an id.'
browse attacker /login
needs_page
if [ -z "$(id_of attacker)" ]; then
    say 'Looking at a form makes none here. A wrong password does, for the message after it.'
    log_in attacker wrong
fi
planted=$(id_of attacker)
[ -n "$planted" ] || no_result 'the server made no id for a visitor'

# What a page of a sibling domain does: the browser of the user has the attacker's cookie.
cp "$directory/attacker.cookies" "$directory/user.cookies"
log_in_user 'The user logs in, with the planted id in the browser.'

say 'The attacker opens the main page with the id that it knows.'
request attacker /main --cookie "$cookie_name=$planted"
if page_has "$main_text"; then
    broken 'the attacker is in the session of the user'
fi
needs_answer
held 'the login gave the session another id'
