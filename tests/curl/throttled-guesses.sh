#!/bin/sh
# Five guesses a minute at one name: that is enough for whoever mistypes a password, and too
# few for whoever tries them all. The sixth is not even looked at, and is told how long to wait.

. "$(dirname "$0")/lib.sh"

# Each time this lesson is told, the name is another, or else it would have to wait as well.
name=mallory-$$
for guess in 12345 123456 password qwerty letmein; do
    log_in $name $guess | expect 'HTTP/1.1 302 Found' 'Location: /login'
done
log_in $name iloveyou | expect 'HTTP/1.1 429 Too Many Requests' 'Retry-After: '

# Nobody else has to wait for that.
log_in admin 123 | expect 'HTTP/1.1 302 Found' 'Location: /main'
