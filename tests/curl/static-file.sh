#!/bin/sh
# Caching: a file is sent once. After that the server says that it has not changed (conditional
# requests), or sends a part (range requests). And no path leads out of the directory of the
# files (path traversal).

. "$(dirname "$0")/lib.sh"

file=/static/site.css
fetch $file | expect 'HTTP/1.1 200 OK' 'Content-Type: text/css; charset=UTF-8' \
    'Cache-Control: no-cache' 'Accept-Ranges: bytes'

# The entity tag changes when the file does. A client that has this one does not get the file
# again.
tag=$(fetch $file | find_field ETag)
fetch $file --header "If-None-Match: $tag" | expect 'HTTP/1.1 304 Not Modified' "ETag: $tag"
fetch $file --header 'If-None-Match: "another"' | expect 'HTTP/1.1 200 OK' "ETag: $tag"

# HEAD returns the header fields of the content without the content.
length=$(curl --silent "$address$file" | wc -c | tr -d ' ')
fetch $file --head | expect 'HTTP/1.1 200 OK' "Content-Length: $length" "ETag: $tag"

# A part: the first five bytes, the last one, and some after the end.
last=$((length - 1))
fetch $file --range 0-4 | expect 'HTTP/1.1 206 Partial Content' \
    "Content-Range: bytes 0-4/$length" 'Content-Length: 5'
fetch $file --range -1 | expect 'HTTP/1.1 206 Partial Content' \
    "Content-Range: bytes $last-$last/$length" 'Content-Length: 1'
fetch $file --range "$length-" | expect 'HTTP/1.1 416 Range Not Satisfiable' \
    "Content-Range: bytes */$length"

# Pages link to a version of the file, which may be cached forever (cache busting): when the
# file changes, the link changes.
link=$(fetch /login | grep -o "$file?v=[0-9a-f]*") ||
    fail "expected: a link to a version of $file; came: none"
fetch "$link" | expect 'HTTP/1.1 200 OK' 'Cache-Control: public, max-age=31536000, immutable'
fetch "$file?v=another" | expect 'HTTP/1.1 200 OK' 'Cache-Control: no-cache'

# The parent directory, spelled in four ways.
for way in ../Cargo.toml %2e%2e/Cargo.toml ..%2fCargo.toml ..%5cCargo.toml; do
    fetch "/static/$way" --path-as-is | expect 'HTTP/1.1 404 Not Found'
done
