#!/bin/sh
# A wrong password leads back to the form, which says so: once. The message waits in the
# session until a page has shown it, and is gone when that page is loaded again.

. "$(dirname "$0")/lib.sh"

log_in admin wrong | expect 'HTTP/1.1 302 Found' 'Location: /login'
browse /login | expect 'HTTP/1.1 200 OK' 'Wrong username or password.'
browse /login | expect_no 'Wrong username or password.'

# And it let nobody in.
browse /main | expect 'HTTP/1.1 302 Found' 'Location: /login?next=%2Fmain'
