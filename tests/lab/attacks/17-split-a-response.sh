#!/bin/sh
# name: response splitting
# class: CWE-113, improper neutralization of CR LF in headers
# victim: toy
# stops: http/response.rs valid
# test: handlers::a_header_a_cookie_or_a_redirect_cannot_split_the_response
#
# In HTTP a line break ends a header field. The attacker looks for a field that repeats something
# from the URL: a redirect, a language, a file name. If the server writes the text as it is, a line
# break in it ends the field, and the attacker goes on with a field of its own: `Set-Cookie`, to
# plant an id. After an empty line, even the page is the attacker's. All of this from a link to a
# site that the user trusts.
#
# What should happen: a value with a line break is never written. It is an error.

. "$(dirname "$0")/../lib.sh"

say 'A value without a line break comes back in a field.'
request user '/header?value=blue'
needs_page
[ "$(field X-Echo)" = blue ] || no_result 'the target has no field that repeats the value'

say 'The user follows a link in which the value has one: %0d%0a.'
request user "/header?value=blue%0d%0aSet-Cookie:%20$cookie_name=planted"
if grep -qi "^Set-Cookie: $cookie_name=planted" "$directory/head"; then
    broken 'the link has set a cookie'
fi
request user "/header?value=blue%0aSet-Cookie:%20$cookie_name=planted"
if grep -qi "^Set-Cookie: $cookie_name=planted" "$directory/head"; then
    broken 'the link has set a cookie, with LF alone'
fi
held 'a line break never gets into a field'
