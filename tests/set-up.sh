#!/bin/sh
# Installs the real clients that the tests use, as far as it is allowed to, and prints one line
# about those that it could not install. `set-up.sh run COMMAND...` runs a command with what is
# installed.
set -u

# nginx is there, and a user's PATH often is not.
PATH=$PATH:/usr/sbin

# command:package
clients="curl:curl chromium:chromium chromedriver:chromium-driver
         python3:python3 node:nodejs wrk:wrk ab:apache2-utils
         redis-server:redis-server openssl:openssl nginx:nginx"

missing() {
    for client in $clients; do
        command -v "${client%%:*}" >/dev/null || printf '%s ' "${client#*:}"
    done
    # A package of Python, not a command.
    python3 -c 'import requests' 2>/dev/null || printf 'python3-requests '
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

install() {
    as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends "$@"
}

if [ "${1:-}" = run ]; then
    shift
    # Not every machine can have a browser, a Redis or an nginx. Their tests say that they are skipped.
    case " $(missing)" in
        *" chromium"*) export DUSTDEVIL_WITHOUT_BROWSER=1 ;;
    esac
    case " $(missing)" in
        *" redis-server"*) export DUSTDEVIL_WITHOUT_REDIS=1 ;;
    esac
    case " $(missing)" in
        *" nginx"*) export DUSTDEVIL_WITHOUT_NGINX=1 ;;
    esac
    exec "$@"
fi

packages=$(missing)
if [ -n "$packages" ] && command -v apt-get >/dev/null; then
    echo "set-up: installing $packages"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive install $packages >/dev/null 2>&1
    # These packages start a server. The tests start their own.
    for server in redis-server nginx; do
        case " $packages" in
            *" $server"*)
                as_root systemctl disable --now $server >/dev/null 2>&1 \
                    || as_root service $server stop >/dev/null 2>&1 ;;
        esac
    done
fi

packages=$(missing)
[ -z "$packages" ] || echo "set-up: these are missing and cannot be installed here: $packages"
# In CI, a missing client is a failure.
[ -z "$packages" ] || [ -z "${CI:-}" ]
