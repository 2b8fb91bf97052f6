#!/bin/sh
# name: read the password in the URL
# class: CWE-598, sensitive query strings, and CWE-532, secrets in a log; OWASP ASVS 14.2.1
# victim: tutorial
# stops: web/access.rs Access::log
# test: log::the_access_log_has_the_path_and_not_the_query
#
# Where do URLs go? Into the history of the browser, the log of each proxy, the log of the
# server, and the Referer of the next site. Many people read logs, and backups keep them. So the
# attacker looks there for `password=`. The tutorial's `get_argument` reads the query as well as
# the form. So a password in the URL works, and sooner or later a script or a link sends it there.
#
# What should happen: a password in the URL does not log in, and the query is not in the log.

. "$(dirname "$0")/../lib.sh"

log_in_user 'The user logs in with the form.'

say 'Another browser sends the password in the URL.'
browse visitor /login
browse visitor "/login?username=$user&password=$password" --data "_xsrf=$(token)"
browse visitor /main
if page_has "$main_text"; then
    works=yes
fi

if [ -n "${LAB_LOG-}" ]; then
    say 'The attacker reads the log of the server.'
    sleep 0.2
    grep -F '/login' "$LAB_LOG" > "$directory/lines" || no_result 'the log has no line of the login'
    tail -n 2 "$directory/lines" | sed 's/^/  /'
    if grep -q -F "password=$password" "$directory/lines"; then
        broken 'the password is in the log'
    fi
fi
[ -z "${works-}" ] || broken 'a password in a URL logs in'
[ -n "${LAB_LOG-}" ] || held 'the password counts in the form alone (the log was not read)'
held 'the password counts in the form alone, and the log has no query'
