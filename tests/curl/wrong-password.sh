#!/bin/sh
# Flash message: a wrong password redirects to the form, which says so once. The message is
# stored in the session until a page has shown it, and is gone when that page is loaded again.

. "$(dirname "$0")/lib.sh"

log_in admin wrong | expect 'HTTP/1.1 302 Found' 'Location: /login'
browse /login | expect 'HTTP/1.1 200 OK' 'Wrong username or password.'
browse /login | expect_no 'Wrong username or password.'

# And the visitor is not logged in.
browse /main | expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'
