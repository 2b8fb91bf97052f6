#!/bin/sh
# name: smuggle a request (CL with TE)
# class: CWE-444, request smuggling; RFC 9112 section 11.2
# victim: toy
# stops: http/framing.rs FramingFields::framing
# test: 6-content/both-framings
#
# Before many servers there is a proxy, which decides who may see what. Both read the same bytes,
# one request after the other on one connection, so both must agree where one ends. The attacker
# sends a request that has two ends: by its Content-Length, what follows is its content; by its
# Transfer-Encoding, the content is empty, and what follows is the next request. The proxy sees
# one request, and the server two. The second has passed no rule of the proxy, and its response
# goes to the next user.
#
# What should happen: a request with both fields is refused with 400, and the connection is
# closed, because it is not known where the next request begins.

. "$(dirname "$0")/../lib.sh"

request proxy /hello
needs_page
page_has 'Hello' || no_result 'the target has no page /hello'

say 'With one end, the request is understood: what is refused below is the second end.'
request proxy /login --data 'x=1'
[ "$status" != 400 ] || no_result 'POST /login is refused with 400 for another reason'

say 'The proxy forwards one request. Its content, 45 bytes, looks like another one.'
printf '%s\r\n' 'POST /login HTTP/1.1' 'Host: 127.0.0.1' 'Content-Length: 45' \
    'Transfer-Encoding: chunked' '' 0 '' 'GET /hello HTTP/1.1' 'Host: 127.0.0.1' '' \
    > "$directory/sent"
tr -d '\r' < "$directory/sent" | sed 's/^/  > /'
# For curl, telnet is plain TCP, in which it changes nothing.
curl --silent --max-time 3 "telnet://127.0.0.1:$port" < "$directory/sent" \
    > "$directory/answers" || true
tr -d '\r' < "$directory/answers" | grep -a '^HTTP/\|Hello' | sed 's/^/  < /' || true
count=$(grep -a -c '^HTTP/' "$directory/answers" || true)
if [ "$count" -ge 2 ] || grep -a -q 'Hello' "$directory/answers"; then
    broken "the proxy sent one request, and $count responses came back"
fi
grep -a -q '^HTTP/[0-9.]* 400' "$directory/answers" ||
    no_result 'there was one response, and it did not refuse the request'
held 'a request with two ends is refused'
