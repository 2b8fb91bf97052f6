#!/bin/sh
# name: slowloris
# class: CWE-400, resource consumption, and CWE-772, no release after the lifetime
# victim: toy
# stops: http/connection.rs Connection::run
# test: faults::slow_heads_do_not_disturb_other_clients
#
# A server waits until a request is complete. The attacker begins one, and does not finish it: a
# few bytes now, one more in ten seconds. That costs the attacker nothing, and the server whatever
# it keeps for a connection: a thread, or a slot, or memory. The name is that of an animal which
# is slow. The toy has one thread: one connection is enough, and it serves nobody else. A program
# opens hundreds of them here: src/attack has it.
#
# What should happen: while hundreds of requests stand half-sent, another client is served at
# once. A head must arrive within its timeout.

. "$(dirname "$0")/../lib.sh"

request client /hello
needs_page

say 'The attacker opens connections, and sends half a head on each.'
outcome=0
"${LAB:?the path of dustdevil-lab}" attack slowloris "$address" || outcome=$?
case $outcome in
    0) held 'other clients are served while the attacker waits' ;;
    1) broken 'no other client was served' ;;
    *) no_result 'the attack could not be made' ;;
esac
