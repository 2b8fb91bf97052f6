#!/bin/sh
# name: slowloris
# class: CWE-400, resource consumption, and CWE-772, no release after the lifetime
# victim: toy
# stops: http/connection.rs Connection::wait_for_head
# test: faults::slow_heads_do_not_disturb_other_clients
#
# A server waits until a request is complete. The attacker begins one, and does not finish it: a
# few bytes now, one more in ten seconds. That costs the attacker nothing, and the server what it
# keeps for each connection: a thread, a slot, or memory. (The slow loris is an animal.) The toy
# has one thread: while it waits for one connection, it serves no other. Here a program opens two
# hundred connections: src/attack/slowloris.rs.
#
# What should happen: while all of them are open, another client is served at once. And a head that
# does not end within its timeout ends the connection.

. "$(dirname "$0")/../lib.sh"

request client /hello
needs_page

say 'The attacker opens connections, and sends half a head on each.'
outcome=0
"${LAB:?the path of dustdevil-lab}" attack slowloris "$address" || outcome=$?
case $outcome in
    0) held 'other clients are served while the attacker waits' ;;
    1) broken 'connections that send almost nothing keep what they occupy' ;;
    *) no_result 'the attack could not be made' ;;
esac
