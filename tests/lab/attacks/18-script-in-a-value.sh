#!/bin/sh
# name: script in a template value
# class: CWE-79, cross-site scripting (XSS)
# victim: toy
# stops: escape.rs push_html
# test: templates::every_value_is_escaped
#
# A page shows what a visitor wrote: a name, a search. In HTML, text and commands are the same kind
# of thing, and `<` makes the difference. The attacker writes a name that contains a script, or
# has the user follow a link that does. The browser runs it as part of the page, with the rights
# of the page: it reads what the user sees, and sends forms with the right token.
#
# What should happen: `<` comes back as `&lt;`, which the browser shows and does not run; and
# quotes are escaped, too, because a value may stand in an attribute.

. "$(dirname "$0")/../lib.sh"

say 'The target shows a text.'
request user '/echo?text=hello'
needs_page
page_has 'hello' || no_result 'the target does not show the text'

say 'The user follows a link in which the text is a script.'
request user '/echo?text=%3Cscript%3Ealert(1)%3C/script%3E'
if page_has '<script>alert(1)'; then
    broken 'the browser would run the script'
fi
page_has '&lt;script' || no_result 'the text did not come back'

say 'Or ends an attribute, and begins another one.'
request user '/echo?text=%22%20onmouseover=%22alert(1)'
if page_has '" onmouseover="alert(1)'; then
    broken 'a quote is not escaped'
fi
needs_answer
held 'the value is shown as text'
