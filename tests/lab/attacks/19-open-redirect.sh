#!/bin/sh
# name: open redirect by next
# class: CWE-601, open redirect
# victim: toy
# stops: escape.rs is_plain_url
# test: login::the_login_redirects_to_the_requested_page_of_this_site_only
#
# After the login, the user should get back to the page that asked for it, so its path is in the
# URL: /login?next=/main. The attacker writes another address there, and sends the link around. It
# names the right site, the certificate is right, the login works; and then the browser is at the
# attacker's site, which looks the same and says: wrong password, please try again. A check for
# `http` at the beginning is not enough: browsers read `//evil.example` as a host as well, and a
# backslash as a slash.
#
# What should happen: only a path of this site is a target.

. "$(dirname "$0")/../lib.sh"

say 'A path of this site is a target.'
request user '/redirect?next=/main'
needs_page
[ "$(field Location)" = /main ] || no_result 'the target does not redirect to the path'

say 'The attacker tries other addresses.'
away=
for next in https://evil.example/ //evil.example/ '/%5cevil.example/' '%5c%5cevil.example/' \
    '/%09/evil.example/' 'javascript:alert(1)'; do
    request user "/redirect?next=$next"
    case $(field Location) in
        *evil.example* | *alert*) away="$away $next" ;;
    esac
done
[ -z "$away" ] || broken "these targets lead to another site, or to a script:$away"
held 'every redirect stays on this site'
