# Functions that the lessons share. A lesson reads this file first. Its argument is the address
# of the server; the default is that of the demo.

set -eu

address=${1:-http://127.0.0.1:8888}

# Ends the lesson with an error message.
fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

command -v curl > /dev/null || fail 'The lessons need curl, which is not installed.'
curl --silent --max-time 60 --output /dev/null "$address/hello" ||
    fail "No server responds at $address. In another terminal: make run"

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
jar=$directory/cookies

# Fetches a path without cookies. Options of curl may follow the path.
fetch() {
    path=$1
    shift
    curl --silent --show-error --max-time 60 --include "$@" "$address$path"
}

# Fetches a path as a browser does: sends the cookies in the jar, and stores new ones there.
browse() {
    fetch "$@" --cookie "$jar" --cookie-jar "$jar"
}

# Sends standard input unchanged (as HTTP, curl would correct a bad request), and prints the
# responses until the server closes the connection. For curl, telnet is plain TCP, except that
# byte 255 begins a telnet command; text does not contain it. If nothing comes back, `expect`
# says so.
send() {
    curl --silent --max-time 60 "telnet://${address#http://}" || true
}

# Reads a response. Each of the arguments must be in it, within a line.
expect() {
    response=$(tr -d '\r')
    for wanted; do
        case $response in
            *"$wanted"*) ;;
            *) fail "expected: $wanted; came: $(closest_to "$wanted")" ;;
        esac
    done
}

# Reads a response. The argument must not be in it.
expect_no() {
    case $(cat) in
        *"$1"*) fail "expected: no $1; came: $1" ;;
    esac
}

# Prints the line of the response that begins with the same word, or else its first line.
closest_to() {
    printf '%s\n' "$response" | grep -m 1 "^${1%% *}" ||
        printf '%s\n' "${response:-nothing}" | sed 1q
}

# Reads a page, and prints the XSRF token in its form.
find_token() {
    sed -n 's/.*name="_xsrf" value="\([^"]*\)".*/\1/p'
}

# Reads a response, and prints the value of a header field.
find_field() {
    tr -d '\r' | sed -n "s/^$1: //p"
}

# Prints the session id in the jar.
session_id() {
    grep -w session_id "$jar" | cut -f 7
}

# Fetches the login form, and sends it with a name and a password.
log_in() {
    token=$(browse /login | find_token)
    browse /login --data "username=$1&password=$2&_xsrf=$token"
}
