# What the lessons share. A lesson begins by reading this file, and is told where the server
# is: its first argument, or else where the demo listens when it is told nothing itself.

set -eu

address=${1:-http://127.0.0.1:8888}

# Ends the lesson with a line that says why.
fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

for tool in curl nc; do
    command -v "$tool" > /dev/null || fail "The lessons need $tool, which is not installed."
done
curl --silent --max-time 60 --output /dev/null "$address/hello" ||
    fail "Nobody answers at $address. In another terminal: make run"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
jar=$folder/cookies

# Asks for a path as a stranger does, without cookies. Options of curl may stand behind the path.
fetch() {
    path=$1
    shift
    curl --silent --show-error --max-time 60 --include "$@" "$address$path"
}

# Asks for a path as a browser does: with the cookies in the jar, keeping those that come.
browse() {
    fetch "$@" --cookie "$jar" --cookie-jar "$jar"
}

# Sends bytes as they are, where curl would be too polite, and shows what comes back until
# the server closes the connection. If nothing does, `expect` will say so.
send() {
    authority=${address#http://}
    nc -w 60 "${authority%:*}" "${authority##*:}" || true
}

# Reads an answer. Each of the arguments must be in it, within a line.
expect() {
    answer=$(tr -d '\r')
    for wanted; do
        case $answer in
            *"$wanted"*) ;;
            *) fail "expected: $wanted; came: $(closest_to "$wanted")" ;;
        esac
    done
}

# Reads an answer. The argument must not be in it.
expect_no() {
    case $(cat) in
        *"$1"*) fail "expected: no $1; came: $1" ;;
    esac
}

# The line of the answer that begins with the same word, or else its first line.
closest_to() {
    printf '%s\n' "$answer" | grep -m 1 "^${1%% *}" ||
        printf '%s\n' "${answer:-nothing}" | sed 1q
}

# Reads an answer, and finds the token in its form.
find_token() {
    sed -n 's/.*name="_xsrf" value="\([^"]*\)".*/\1/p'
}

# Reads an answer, and finds the value of a field.
find_field() {
    tr -d '\r' | sed -n "s/^$1: //p"
}

# The id of the session that the jar has a cookie for.
session_id() {
    grep -w session_id "$jar" | cut -f 7
}

# Fetches the login form, and sends it back with a name and a password.
log_in() {
    token=$(browse /login | find_token)
    browse /login --data "username=$1&password=$2&_xsrf=$token"
}
