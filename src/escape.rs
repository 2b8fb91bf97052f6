//! Text made safe for the place it goes to: HTML, a part of a URL, and a line of a log.

use std::fmt::{self, Display, Formatter, Write};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What RFC 3986 section 2.3 calls unreserved stays as it is; all else is encoded.
const RESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Escapes the five characters that mean something in HTML text or in a quoted attribute.
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    push_html(&mut escaped, text);
    escaped
}

/// Appends `text` to `page`, escaped as [`html`] does it.
pub fn push_html(page: &mut String, text: &str) {
    // Most text has none of the five. Not to stop at the first lets the processor look at many
    // bytes at once.
    if !text.bytes().fold(false, |found, byte| found | is_special(byte)) {
        page.push_str(text);
        return;
    }
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate().filter(|(_, byte)| is_special(*byte)) {
        page.push_str(&text[plain..at]);
        page.push_str(match byte {
            b'&' => "&amp;",
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'"' => "&quot;",
            _ => "&#x27;",
        });
        plain = at + 1;
    }
    page.push_str(&text[plain..]);
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'')
}

/// Percent-encodes `text` for one segment of a path, or one name or value of a query.
///
/// ```
/// assert_eq!(dustdevil::escape::url("/main?a b"), "%2Fmain%3Fa%20b");
/// ```
pub fn url(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    push_url(&mut escaped, text);
    escaped
}

/// Appends `text` to a URL, encoded as [`url`] does it.
pub(crate) fn push_url(url: &mut String, text: &str) {
    url.extend(utf8_percent_encode(text, RESERVED));
}

/// Shows a message for a log with its control characters escaped: a line break in what a client sent
/// would forge a line, and others would command a terminal (CWE-117).
///
/// ```
/// let message = dustdevil::escape::log("no number: 1\n200 GET /");
/// assert_eq!(message.to_string(), "no number: 1\\n200 GET /");
/// ```
pub fn log(message: impl Display) -> impl Display {
    LogMessage(message)
}

struct LogMessage<T>(T);

impl<T: Display> Display for LogMessage<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(Escaping(formatter), "{}", self.0)
    }
}

/// Escapes what is written to it.
struct Escaping<'a, 'f>(&'a mut Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, control) in text.match_indices(is_control) {
            self.0.write_str(&text[plain..at])?;
            control.escape_default().try_for_each(|escaped| self.0.write_char(escaped))?;
            plain = at + control.len();
        }
        self.0.write_str(&text[plain..])
    }
}

/// Whether a character does something instead of being seen: control characters, line separators, and
/// those that change the direction of what follows.
fn is_control(character: char) -> bool {
    let is_separator = matches!(character, '\u{2028}' | '\u{2029}');
    let is_direction =
        matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || is_separator || is_direction
}

/// Whether `url` is nothing but visible ASCII, without the backslash that browsers take for a
/// slash, and does not begin with `//`, which would make its first segment a host.
pub fn is_plain_url(url: &str) -> bool {
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain && !url.is_empty() && !url.starts_with("//")
}
