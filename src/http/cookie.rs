//! Cookies (RFC 6265bis): the parser of the Cookie field and the builder of Set-Cookie.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::http::date;
use crate::http::grammar::{self, is_tchar};
use crate::http::response::InvalidField;

/// Returns the values of the cookies with one name in a Cookie field, in the order in which the
/// browser sent them. Malformed pairs are ignored, and so are values that are not UTF-8.
///
/// A value in double quotes is returned without them, and with the escapes decoded that
/// Tornado and Python's `http.cookies` write: three octal digits are the code of a character
/// (`"a\073b"` is `a;b`), and another character after a backslash stands for itself. So the
/// value may contain control characters. Nothing else is decoded, such as percent-encoding.
///
/// There may be several values, because a browser stores cookies by name, domain and path but
/// sends only name and value. A sibling domain can set a cookie for the parent domain, and an
/// attacker on the network can set one over plain HTTP; the browser sends it together with the
/// genuine one (cookie tossing), and the server cannot tell them apart. So this function
/// returns all of them, and the caller decides. A name with the prefix `__Host-` prevents it:
/// browsers accept such a cookie only from the host itself, over https.
pub fn values<'a>(field: &'a [u8], name: &str) -> impl Iterator<Item = Cow<'a, str>> {
    let named = pairs(field).filter(move |(other, _)| *other == name.as_bytes());
    // UTF-8 is checked per value, so that an invalid value does not hide the others.
    named.filter_map(|(_, value)| std::str::from_utf8(value).ok()).map(unquote)
}

/// Returns the names and values in a Cookie field, as they were sent.
pub(crate) fn pairs(field: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    grammar::split(field, b';').filter_map(|pair| {
        let equals = grammar::position(pair, b'=')?;
        Some((trim_ows(&pair[..equals]), trim_ows(&pair[equals + 1..])))
    })
}

/// Removes optional whitespace (OWS) at both ends, but no other whitespace. For a browser,
/// other whitespace is part of the name, so a name with such a byte before `__Host-` is not
/// protected by the prefix rules. If it were trimmed here, an attacker could set `__Host-`
/// cookies with it.
fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Removes quotes and decodes escapes; see [`values`]. Allocates only if there are escapes.
fn unquote(value: &str) -> Cow<'_, str> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(mut rest) = quoted else { return Cow::Borrowed(value) };
    let mut text = Cow::Borrowed("");
    while let Some((plain, escape)) = rest.split_once('\\') {
        text += plain;
        // `from_str_radix` accepts a plus sign.
        let digits = escape.get(..3).filter(|digits| !digits.starts_with('+'));
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        let mut after = escape.chars();
        let last = after.nth(if code.is_some() { 2 } else { 0 });
        text.to_mut().push(code.map(char::from).or(last).unwrap_or('\\'));
        rest = after.as_str();
    }
    text + rest
}

/// The `SameSite` attribute: which requests from other sites include the cookie (RFC 6265bis
/// section 5.6.7). It is a defence against cross-site request forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// No requests from other sites.
    Strict,
    /// Top-level navigation with a safe method, such as following a link, but not posting a
    /// form or loading an image.
    Lax,
    /// All requests. The cookie must also be `Secure`.
    None,
}

/// A builder for a Set-Cookie field. The defaults are safe: all paths of this host only
/// (`Path=/`, no `Domain`), not readable by scripts (`HttpOnly`), not sent when another site
/// posts a form (`SameSite=Lax`), deleted when the browser closes (no `Max-Age`).
#[derive(Clone)]
pub struct SetCookie {
    name: String,
    value: String,
    path: Cow<'static, str>,
    domain: Option<String>,
    max_age: Option<Duration>,
    http_only: bool,
    secure: bool,
    same_site: SameSite,
    partitioned: bool,
}

/// Shows the name and not the value, which may be a secret.
impl fmt::Debug for SetCookie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SetCookie")
            .field("name", &self.name)
            .field("path", &self.path)
            .field("domain", &self.domain)
            .field("max_age", &self.max_age)
            .field("http_only", &self.http_only)
            .field("secure", &self.secure)
            .field("same_site", &self.same_site)
            .finish_non_exhaustive()
    }
}

impl SetCookie {
    /// Creates a cookie with the defaults.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> SetCookie {
        SetCookie {
            name: name.into(),
            value: value.into(),
            path: Cow::Borrowed("/"),
            domain: None,
            max_age: None,
            http_only: true,
            secure: false,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }

    /// Creates a cookie that makes the browser delete the one with this name (`Max-Age=0`).
    /// Path, domain and `partitioned` must be those of the cookie to delete. A response to a
    /// frame or a script in another site's page can delete it only with `SameSite=None`.
    pub fn removal(name: impl Into<String>) -> SetCookie {
        SetCookie::new(name, "").max_age(Duration::ZERO)
    }

    /// Sets the lifetime in the browser, in whole seconds. It is written as `Max-Age` and, for
    /// old clients, also as `Expires`.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> SetCookie {
        self.max_age = Some(age);
        self
    }

    /// Sets the path prefix of requests that include the cookie. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> SetCookie {
        self.path = Cow::Owned(path.into());
        self
    }

    /// Sets a domain. All its hosts get the cookie. Default: none, which means this host only.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> SetCookie {
        self.domain = Some(domain.into());
        self
    }

    /// Hides the cookie from scripts. Default: yes.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> SetCookie {
        self.http_only = http_only;
        self
    }

    /// Restricts the cookie to https. Default here: no; an `Exchange` sets it if the request
    /// came over https.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> SetCookie {
        self.secure = secure;
        self
    }

    /// Sets which requests from other sites include the cookie. Default: [`SameSite::Lax`].
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> SetCookie {
        self.same_site = same_site;
        self
    }

    /// Gives the cookie a jar of its own for each site that embeds this one (CHIPS): a frame or
    /// script in the pages of one site does not get the cookie that was set below another.
    /// Browsers that block third-party cookies accept such a cookie nevertheless, with
    /// `SameSite=None`. It must be `Secure`, so over plain http it is an error. Default: no.
    #[must_use]
    pub fn partitioned(mut self, partitioned: bool) -> SetCookie {
        self.partitioned = partitioned;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns `true` if a browser would replace `other` by this cookie: name, path and domain
    /// are equal, and both are partitioned or neither.
    pub(crate) fn replaces(&self, other: &SetCookie) -> bool {
        (&self.name, &self.path, &self.domain, self.partitioned)
            == (&other.name, &other.path, &other.domain, other.partitioned)
    }

    /// Fails if the cookie must not be sent, because it violates the grammar of RFC 6265bis
    /// section 4.1.1 or because browsers would reject it: `SameSite=None` or `Partitioned`
    /// without `Secure`, a name with the prefix `__Secure-` or `__Host-` without the attributes
    /// that the prefix requires, or more than 4,096 bytes of name and value. The text of the
    /// error says which. This also prevents response splitting: no valid name, value or
    /// attribute contains a CR, an LF or a semicolon.
    pub(crate) fn check(&self) -> Result<(), InvalidField> {
        // No early exit, so that the compiler can vectorise the loop.
        let is_value =
            self.value.bytes().fold(true, |all, byte| all & is_cookie_octet(byte));
        let is_token = !self.name.is_empty() && self.name.bytes().all(is_tchar);
        let is_of_domain = self.domain.as_deref().is_none_or(is_domain);
        let length = self.name.len() + self.value.len();
        let has_prefix = |prefix: &str| {
            let start = self.name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_for_one_host = self.path == "/" && self.domain.is_none();
        let must_be_secure = self.same_site == SameSite::None
            || self.partitioned
            || has_prefix("__Secure-")
            || has_prefix("__Host-");
        let rules = [
            (is_token, "its name must be a token"),
            (is_value, "its value must be encoded, for example as hex"),
            (is_path(&self.path) && is_of_domain, "its path or domain is malformed"),
            // From here on, the rules by which browsers store it (RFC 6265bis section 5.7).
            (length <= MAX_PAIR_BYTES, "name and value must not exceed 4,096 bytes"),
            (self.secure || !must_be_secure, "it must be Secure, and the request https"),
            (is_for_one_host || !has_prefix("__Host-"), "__Host- is for Path=/, no Domain"),
        ];
        match rules.into_iter().find(|(is_met, _)| !is_met) {
            None => Ok(()),
            Some((_, problem)) => {
                Err(InvalidField(format!("invalid cookie {:?}: {problem}", self.name)))
            }
        }
    }

    /// Returns the value of the Set-Cookie field.
    pub fn to_field_value(&self) -> Result<String, InvalidField> {
        self.check()?;
        Ok(self.checked_field_value())
    }

    /// Like [`to_field_value`](SetCookie::to_field_value), for a cookie that has been checked
    /// before.
    pub(crate) fn checked_field_value(&self) -> String {
        // 128 bytes are enough for the attributes other than a domain, which is rare. So the
        // string is usually allocated once.
        let length = self.name.len() + self.value.len() + self.path.len() + 128;
        let mut field = String::with_capacity(length);
        field.extend([&*self.name, "=", &self.value, "; Path=", &self.path]);
        if let Some(domain) = &self.domain {
            field.extend(["; Domain=", domain]);
        }
        if let Some(age) = self.max_age {
            let seconds = age.as_secs();
            field.extend(["; Max-Age=", &seconds.to_string()]);
            let expires = SystemTime::now().checked_add(Duration::from_secs(seconds));
            if let Some(expires) = expires.map(date::format) {
                field.extend(["; Expires=", &expires]);
            }
        }
        field.extend(self.http_only.then_some("; HttpOnly"));
        field.extend(self.secure.then_some("; Secure"));
        field.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        field.extend(self.partitioned.then_some("; Partitioned"));
        field
    }
}

/// ```text
/// cookie-octet = %x21 / %x23-2B / %x2D-3A / %x3C-5B / %x5D-7E
///              ; no controls, white space, DQUOTE, comma, semicolon or backslash
/// ```
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// Maximum length of name and value together in bytes (RFC 6265bis section 5.7).
const MAX_PAIR_BYTES: usize = 4096;

/// Maximum length of a path or a domain in bytes (RFC 6265bis section 5.6).
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// Returns `true` if a browser would use the path. It replaces a path without a leading slash
/// by a default (RFC 6265bis section 5.6.4).
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= MAX_ATTRIBUTE_BYTES
        && path.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b';')
}

/// Returns `true` if all labels consist of letters, digits and inner hyphens (RFC 1034 section
/// 3.5).
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty()
            && label.bytes().all(is_name)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    domain.len() <= MAX_ATTRIBUTE_BYTES && domain.split('.').all(is_label)
}
