#!/bin/sh
# name: path traversal, dotfile, symlink
# class: CWE-22, path traversal; CWE-59, link following; CWE-552, files accessible to others
# victim: toy
# stops: web/static_files/document_root.rs is_safe_path
# test: static_files::nothing_outside_the_directory_and_nothing_hidden_is_ever_served
#
# The server opens the file that the URL names, below a directory. The attacker asks: below? Two
# dots are the directory above. A path can also be written in many ways that mean the same, and
# a check that knows one of them misses the others. Then: what else is in the directory? `.env`
# and `.git` are often there, with passwords. And a link in it may lead anywhere.
#
# What should happen: nothing outside of the directory is served, nothing hidden, and no link
# that leads out, however the path is written.

. "$(dirname "$0")/../lib.sh"

request attacker /static/site.css
needs_page
[ "$status" = 200 ] || no_result 'the target serves no file /static/site.css'

say 'The attacker asks for a file beside the directory, for a hidden one, and for a link.'
leaked=
# A target that does not have these files shows nothing. `lab-files.txt` is beside the others.
request attacker /static/lab-files.txt
page_has 'lab-files' || no_result 'copy tests/lab/site/ to the target: its directory and secret.txt above it'
for file in ../secret.txt %2e%2e/secret.txt ..%2fsecret.txt ..%5csecret.txt \
    ./../secret.txt .env %2eenv link.txt; do
    request attacker "/static/$file"
    if page_has 'lab-secret'; then
        leaked="$leaked $file"
    fi
done
[ -z "$leaked" ] || broken "files that were not meant to be served came back:$leaked"
held 'none of these paths leads to a file'
