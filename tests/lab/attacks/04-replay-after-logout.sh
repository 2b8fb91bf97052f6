#!/bin/sh
# name: log out and replay the cookie
# class: CWE-613, insufficient session expiration; OWASP ASVS 7.4.1
# victim: tutorial
# stops: session/operations.rs Session::destroy
# test: login::a_visitor_logs_in_sees_the_main_page_and_logs_out
#
# A user suspects that the cookie was copied, and does what users can do: log out. If the logout
# only deletes the cookie in this browser, it changes nothing for the copy. The tutorial has no
# logout at all; its user can only delete the cookie by hand.
#
# What should happen: the logout ends the session on the server, and the copy opens nothing.

. "$(dirname "$0")/../lib.sh"

log_in_user
copy=$(cookies_of user)

say 'The attacker has a copy of the cookie, and it works.'
request attacker /main --cookie "$copy"
page_has "$main_text" || no_result 'the copy did not work before the logout either'

say 'The user logs out.'
browse user /main
browse user /logout --data "_xsrf=$(token)"
case $status in
    2* | 3*) ;;
    404) say 'There is no logout. The user deletes the cookies in the browser.' ;;
    *) no_result "the logout was refused ($status)" ;;
esac
rm "$directory/user.cookies"
browse user /main
if page_has "$main_text"; then
    no_result 'the user is still logged in without a cookie'
fi

say 'The attacker uses the copy.'
request attacker /main --cookie "$copy"
if page_has "$main_text"; then
    broken 'the session goes on after the logout, and a copy of its id opens the page'
fi
needs_answer
held 'the logout has ended the session on the server'
