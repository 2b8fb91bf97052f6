//! Cookies (RFC 6265bis): the parser of the Cookie field and the builder of Set-Cookie.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::http::date;
use crate::http::grammar::{self, is_tchar};

/// Returns the values of the cookies with one name in a Cookie field, in the order in which the
/// browser sent them. Malformed pairs are ignored.
///
/// There may be several values, because a browser stores cookies by name, domain and path but
/// sends only name and value. A sibling domain can set a cookie for the parent domain, and an
/// attacker on the network can set one over plain HTTP; the browser sends it together with the
/// genuine one (cookie tossing), and the server cannot tell them apart. So this function
/// returns all of them, and the caller decides. A name with the prefix `__Host-` prevents it:
/// browsers accept such a cookie only from the host itself, over https.
pub fn values<'a>(field: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a str> {
    grammar::split(field, b';').filter_map(move |pair| {
        let equals = grammar::position(pair, b'=')?;
        if trim_ows(&pair[..equals]) != name.as_bytes() {
            return None;
        }
        // UTF-8 is checked per value, so that an invalid value does not hide the others.
        let value = std::str::from_utf8(trim_ows(&pair[equals + 1..])).ok()?;
        Some(unquote(value))
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

fn unquote(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(value)
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

/// The error for a cookie that must not be sent, because it violates the grammar of RFC 6265bis
/// section 4.1.1 or because browsers would reject it: `SameSite=None` without `Secure`, a name
/// with the prefix `__Secure-` or `__Host-` without the attributes that the prefix requires, or
/// more than 4,096 bytes of name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCookie {
    name: String,
}

impl fmt::Display for InvalidCookie {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "invalid cookie {:?}", self.name)
    }
}

impl std::error::Error for InvalidCookie {}

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
        }
    }

    /// Creates a cookie that makes the browser delete the one with this name (`Max-Age=0`).
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

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns `true` if a browser would replace `other` by this cookie: name, path and domain
    /// are equal.
    pub(crate) fn replaces(&self, other: &SetCookie) -> bool {
        (&self.name, &self.path, &self.domain) == (&other.name, &other.path, &other.domain)
    }

    /// Returns an error if the cookie must not be sent. This also prevents response splitting:
    /// no valid name, value or attribute contains a CR, an LF or a semicolon.
    pub(crate) fn check(&self) -> Result<(), InvalidCookie> {
        // No early exit, so that the compiler can vectorise the loop.
        let is_value =
            self.value.bytes().fold(true, |all, byte| all & is_cookie_octet(byte));
        let is_token = !self.name.is_empty() && self.name.bytes().all(is_tchar);
        let are_attributes =
            is_path(&self.path) && self.domain.as_deref().is_none_or(is_domain);
        match is_token && is_value && are_attributes && self.is_accepted_by_browsers() {
            true => Ok(()),
            false => Err(InvalidCookie { name: self.name.clone() }),
        }
    }

    /// Returns `true` if a browser would store the cookie (RFC 6265bis section 5.7).
    fn is_accepted_by_browsers(&self) -> bool {
        let has_prefix = |prefix: &str| {
            let start = self.name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_for_one_host = self.path == "/" && self.domain.is_none();
        let must_be_secure = self.same_site == SameSite::None
            || has_prefix("__Secure-")
            || has_prefix("__Host-");
        self.name.len() + self.value.len() <= MAX_PAIR_BYTES
            && (self.secure || !must_be_secure)
            && (is_for_one_host || !has_prefix("__Host-"))
    }

    /// Returns the value of the Set-Cookie field.
    pub fn to_field_value(&self) -> Result<String, InvalidCookie> {
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
        for part in [&*self.name, "=", &self.value, "; Path=", &self.path] {
            field.push_str(part);
        }
        if let Some(domain) = &self.domain {
            field.push_str("; Domain=");
            field.push_str(domain);
        }
        if let Some(age) = self.max_age {
            let seconds = Duration::from_secs(age.as_secs());
            let expires = SystemTime::now().checked_add(seconds).map(date::format);
            field.push_str("; Max-Age=");
            field.push_str(&seconds.as_secs().to_string());
            if let Some(expires) = expires {
                field.push_str("; Expires=");
                field.push_str(&expires);
            }
        }
        if self.http_only {
            field.push_str("; HttpOnly");
        }
        if self.secure {
            field.push_str("; Secure");
        }
        field.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
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
