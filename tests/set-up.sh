#!/bin/sh
# Sees to the real clients that the tests use: installs what is missing where it may, and says in
# one line what it could not. `set-up.sh run COMMAND...` runs a command with what there is.
set -u

# command:package
clients="curl:curl nc:netcat-openbsd chromium:chromium chromedriver:chromium-driver
         python3:python3 node:nodejs wrk:wrk ab:apache2-utils"

missing() {
    for client in $clients; do
        command -v "${client%%:*}" >/dev/null || printf '%s ' "${client#*:}"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install() {
    as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends "$@"
}

if [ "${1:-}" = run ]; then
    shift
    # A browser is large, and not every machine can have one. Its tests say that they are left out.
    case " $(missing)" in
        *" chromium"*) export DUSTDEVIL_WITHOUT_BROWSER=1 ;;
    esac
    exec "$@"
fi

packages=$(missing)
if [ -n "$packages" ] && command -v apt-get >/dev/null; then
    echo "set-up: installing $packages"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive install $packages >/dev/null 2>&1
fi

packages=$(missing)
[ -z "$packages" ] || echo "set-up: these are missing and cannot be installed here: $packages"
# In CI, a client that is missing is a failure.
[ -z "$packages" ] || [ -z "${CI:-}" ]
