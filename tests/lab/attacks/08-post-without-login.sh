#!/bin/sh
# name: POST without a login
# class: CWE-306, missing authentication for a critical function; OWASP ASVS 8.2.1
# victim: tutorial
# stops: web/session_handler.rs SessionHandler::authenticated
# test: login::a_post_to_the_main_page_needs_the_login_too
#
# The page asks for a login before it shows itself. But a page is several doors: GET shows it,
# POST changes something, and each method has its own code. The attacker tries the door that
# was forgotten. In the tutorial, `get` checks the session, and `post` does not.
#
# What should happen: every method needs the login. A form cannot be sent to a login page and
# back, so the answer is 403.

. "$(dirname "$0")/../lib.sh"

say 'Without a login, the main page is not shown.'
browse attacker /main
needs_page
if page_has "$main_text"; then
    no_result 'the main page needs no login'
fi

say 'The attacker sends a form to it, with the XSRF token of the login form.'
browse attacker /login
needs_page
browse attacker /main --data "_xsrf=$(token)"
needs_page
case $status in
    2*) broken 'the form was accepted from a visitor without a login' ;;
    30*)
        case $(field Location) in
            *login*) ;;
            *) broken 'the form was accepted from a visitor without a login' ;;
        esac
        ;;
    401 | 403) ;;
    *) no_result "the answer was $status" ;;
esac

log_in_user 'It was not the token: the same form of a logged-in user is accepted.'
browse user /main --data "_xsrf=$(token)"
[ "$status" -lt 400 ] || no_result 'no form is accepted at all'
held 'each method of the page needs the login'
