#!/bin/sh
# name: DNS rebinding
# class: CWE-346, origin validation error
# victim: tutorial
# stops: web/hosts.rs is_allowed
# test: defaults::a_request_for_an_unknown_host_is_misdirected
#
# A server that listens on 127.0.0.1 can be reached from this machine only. But the browser is on
# this machine! It loads a page from evil.example, and a minute later the name evil.example
# resolves to 127.0.0.1: the name belongs to the attacker, who says what it resolves to. For the
# browser it is still the same site. So the script of the page may read what this server answers,
# and the router at home, and the database console.
#
# The browser is honest about one thing: the requests still say `Host: evil.example`. What should
# happen: a server that knows its names refuses others, with 421.

. "$(dirname "$0")/../lib.sh"

say 'The server answers to its own name.'
request browser /login
needs_page
[ "$status" = 200 ] || no_result 'the target shows no login form'

say "The script of evil.example, which now resolves to 127.0.0.1, reads the same page."
request browser /login --header 'Host: evil.example'
if [ "$status" = 200 ] && page_has 'password'; then
    broken 'a script of evil.example can read the pages'
fi
needs_answer
held 'the name is not one of the server'
