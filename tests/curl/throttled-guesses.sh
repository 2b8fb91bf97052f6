#!/bin/sh
# Rate limiting: five wrong guesses per minute at one name. That is enough for typing errors,
# and too few to try all passwords (brute force). The sixth password is not even checked; the
# response says how long to wait.

. "$(dirname "$0")/lib.sh"

# Each run uses another name; otherwise a second run would have to wait, too.
name=mallory-$$
for guess in 12345 123456 password qwerty letmein; do
    log_in $name $guess | expect 'HTTP/1.1 302 Found' 'Location: /login'
done
log_in $name iloveyou | expect 'HTTP/1.1 429 Too Many Requests' 'Retry-After: '

# Other users do not have to wait.
log_in admin 123 | expect 'HTTP/1.1 302 Found' 'Location: /main'
