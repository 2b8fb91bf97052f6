# Functions that the attacks share. An attack reads this file first. Its argument is the address
# of the target: a server on this machine, http://127.0.0.1:PORT. Other addresses are refused,
# because to attack a server without the permission of its owner is a crime.
#
# The exit status is the result:
#
#     0   held      the target refused what the attacker tried
#     1   broken    the attack succeeded
#     2   no result the target does not answer, has no such page, or does not even let its own
#                   user in; so nothing is known about the attack
#
# What an attack sends and gets is printed: `>` before what was sent, `<` before what came back,
# and before these the name of the side that sends.

set -eu

address=${1-}
address=${address%/}
port=${address#http://127.0.0.1:}
port=${port#http://localhost:}
directory=$(mktemp -d)
result=none
trap finish EXIT

# A script that ends before it has a result, for whatever reason, must not count as `held`.
finish() {
    rm -rf "$directory"
    if [ $result = none ]; then
        echo 'No result: the script ended before it had one.'
        exit 2
    fi
}

held() {
    result=held
    printf '\nHeld: %s\n' "$1"
    exit 0
}

broken() {
    result=broken
    printf '\nBroken: %s\n' "$1"
    exit 1
}

no_result() {
    result=unknown
    printf '\nNo result: %s\n' "$1"
    exit 2
}

loopback='the target must be http://127.0.0.1:PORT, a server on this machine'
case $address in
    http://127.0.0.1:* | http://localhost:*) ;;
    *) no_result "$loopback" ;;
esac
case $port in
    '' | *[!0-9]*) no_result "$loopback" ;;
esac
command -v curl > /dev/null || no_result 'the attacks need curl, which is not installed'

# Prints what happens next.
say() {
    printf '\n# %s\n' "$1"
}

# Sends a request with curl, and prints the lines of both sides that matter here. The first
# argument is the side that sends, the second the path; options of curl may follow. The response
# is kept: its number in `status`, its head and its page in files.
request() {
    side=$1 path=$2
    shift 2
    : > "$directory/page"
    curl --silent --verbose --path-as-is --max-time 20 --output "$directory/page" "$@" \
        "$address$path" 2> "$directory/log" || true
    tr -d '\r' < "$directory/log" | sed -n 's/^< //p' > "$directory/head"
    status=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' "$directory/head" | tail -n 1)
    printf '%s\n' "$side"
    show_lines '>' "[A-Z]* .* HTTP/" Host Cookie
    show_data "$@"
    show_lines '<' "HTTP/" Set-Cookie Location Retry-After X-Echo
    [ -n "$status" ] || no_result "the target does not answer to $path"
}

# Prints the lines of curl's log that one side sent, and that begin with one of the words.
show_lines() {
    sign=$1
    shift
    for word; do
        tr -d '\r' < "$directory/log" | grep -i "^$sign $word" | sed 's/^/  /' || true
    done
}

# Prints the form that was sent, among the options of curl.
show_data() {
    before=
    for option; do
        [ "$before" != --data ] || printf '  >\n  > %s\n' "$option"
        before=$option
    done
}

# Sends a request as a browser does: with the cookies that this side has, and it keeps new ones.
browse() {
    jar=$directory/$1.cookies
    request "$@" --cookie "$jar" --cookie-jar "$jar"
    # If a response deletes two cookies, curl 7.88 keeps one of them.
    sed -n 's/^[Ss]et-[Cc]ookie: \([^=]*\)=;.*Max-Age=0.*/\1/p' \
        "$directory/head" > "$directory/deleted"
    while read -r name; do
        grep -v "	$name	" "$jar" > "$jar.kept" || true
        mv "$jar.kept" "$jar"
    done < "$directory/deleted"
}

# Ends the script without a result if the last response says that the target has failed: a page that
# is not shown for this reason says nothing about the attack.
needs_answer() {
    case $status in
        429 | 5*) no_result "the target failed at $path ($status)" ;;
    esac
}

# Ends the script without a result if the last response says that there is no such page.
needs_page() {
    case $status in
        404 | 405 | 501) no_result "the target has no page for $path ($status)" ;;
    esac
}

# Is this text in the page that came back? If so, prints its line.
page_has() {
    grep -F -m 1 -e "$1" "$directory/page" | cut -c 1-100 | sed 's/^ */  < ... /' | grep .
}

# Prints the value of a field of the response.
field() {
    grep -i "^$1: " "$directory/head" | sed 1q | cut -d ' ' -f 2-
}

# Prints the XSRF token of the form in the page.
token() {
    sed -n 's/.*name="_xsrf" value="\([^"]*\)".*/\1/p' "$directory/page" | sed 1q
}

# The name of the cookie with the session's id. `LAB_COOKIE` is that of another server.
cookie_name=${LAB_COOKIE:-session_id}

# Prints the session's id that a side has in its cookies.
id_of() {
    cut -s -f 6,7 "$directory/$1.cookies" | grep "^$cookie_name	" | cut -f 2
}

# Ends the script without a result if the login of the user has set no cookie with an id.
needs_session_id() {
    [ -n "$(id_of user)" ] ||
        no_result "the login set no cookie $cookie_name; LAB_COOKIE may have another name"
}

# Prints all cookies of a side, as a browser would send them.
cookies_of() {
    cut -s -f 6,7 "$directory/$1.cookies" | tr '\t' '=' | sed 's/$/; /' | tr -d '\n' |
        sed 's/; $//'
}

# The user of the server. `LAB_USER` and `LAB_PASSWORD` are those of another server.
user=${LAB_USER:-admin}
password=${LAB_PASSWORD:-123}

# Loads the form and logs in, with the name and password of the user if no other password is
# given.
log_in() {
    browse "$1" /login
    needs_page
    form="username=$user&password=${2-$password}&_xsrf=$(token)"
    browse "$1" /login --data "$form"
}

# What the main page of a logged-in user contains, and nothing else does. `LAB_MAIN` is that of
# another server.
main_text=${LAB_MAIN:-this is main page}

# Checks that the user can log in: an attack on a server that refuses everything shows nothing.
log_in_user() {
    say "${1:-The user logs in.}"
    log_in user
    browse user /main
    needs_page
    page_has "$main_text" || no_result 'the user could not log in'
}
