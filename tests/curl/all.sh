#!/bin/sh
# Runs every lesson in this directory against one server, and prints a line for each:
#
#     tests/curl/all.sh http://127.0.0.1:8888
#
# It can run a few times a minute: the lessons send wrong passwords, and logins are rate
# limited.

. "$(dirname "$0")/lib.sh"

result=0
for lesson in "$(dirname "$0")"/*.sh; do
    name=$(basename "$lesson" .sh)
    case $name in
        all | lib) continue ;;
    esac
    if output=$(sh "$lesson" "$address" 2>&1); then
        echo "holds  $name"
    else
        echo "fails  $name: $output"
        result=1
    fi
done
exit $result
