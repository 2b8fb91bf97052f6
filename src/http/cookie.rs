//! Cookies (RFC 6265bis): reading the Cookie field, writing Set-Cookie.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::http::date;
use crate::http::grammar::{self, is_tchar};

/// The values of one cookie in a Cookie field, in the order in which the browser sent them.
/// There may be several: a cookie set for another path, or by a neighboring domain, comes
/// beside the one that was set here. What is malformed is passed over.
pub fn values<'a>(field: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a str> {
    grammar::split(field, b';').filter_map(move |pair| {
        let equals = grammar::position(pair, b'=')?;
        if trim_ows(&pair[..equals]) != name.as_bytes() {
            return None;
        }
        // Value by value, so that one which is no text does not hide the others.
        let value = std::str::from_utf8(trim_ows(&pair[equals + 1..])).ok()?;
        Some(unquote(value))
    })
}

/// To a browser, any white space but these is a part of the name. `__Host-` behind it is no prefix
/// there, so it must be none here.
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

/// Which requests from other sites carry a cookie (RFC 6265bis section 5.6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// No request from another site.
    Strict,
    /// Those that follow a link, but not those that post a form or fetch a picture.
    Lax,
    /// Every request. It must be `Secure`, then.
    None,
}

/// A Set-Cookie field in the making. It begins as safe as a cookie can be, and whoever wants less
/// says so: for every path of this host alone (`Path=/`, no `Domain`), hidden from scripts
/// (`HttpOnly`), sent along when a link is followed but not when another site posts
/// (`SameSite=Lax`), forgotten when the browser closes.
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

/// Shows no value.
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

/// A cookie that may not be sent: its name is no token, its value, path or domain is not what
/// RFC 6265bis section 4.1.1 lets it be, or no browser would keep it. Browsers keep no cookie
/// that is `SameSite=None` and not `Secure`, none whose name begins with `__Secure-` or `__Host-`
/// and that does not keep the promise in it, and none of more than 4,096 bytes.
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
    /// A cookie with the defaults.
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

    /// One that makes the browser forget the cookie.
    pub fn removal(name: impl Into<String>) -> SetCookie {
        SetCookie::new(name, "").max_age(Duration::ZERO)
    }

    /// How long the browser is to keep it, in whole seconds. `Expires` is written beside
    /// `Max-Age`, and says the same.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> SetCookie {
        self.max_age = Some(age);
        self
    }

    /// The path below which it is sent. Default: `/`.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> SetCookie {
        self.path = Cow::Owned(path.into());
        self
    }

    /// A domain with whose other hosts it is shared. Default: none.
    #[must_use]
    pub fn domain(mut self, domain: impl Into<String>) -> SetCookie {
        self.domain = Some(domain.into());
        self
    }

    /// Whether scripts are kept from it. Default: yes.
    #[must_use]
    pub fn http_only(mut self, http_only: bool) -> SetCookie {
        self.http_only = http_only;
        self
    }

    /// Whether it travels over https alone. Default here: no; an `Exchange` sets it where the
    /// client came over https.
    #[must_use]
    pub fn secure(mut self, secure: bool) -> SetCookie {
        self.secure = secure;
        self
    }

    /// Which requests from other sites carry it. Default: [`SameSite::Lax`].
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> SetCookie {
        self.same_site = same_site;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a browser would keep one instead of the other, not beside it.
    pub(crate) fn replaces(&self, other: &SetCookie) -> bool {
        (&self.name, &self.path, &self.domain) == (&other.name, &other.path, &other.domain)
    }

    /// Finds what keeps it from being written.
    pub(crate) fn check(&self) -> Result<(), InvalidCookie> {
        // Not to stop at the first that is wrong lets the processor look at many at once.
        let is_value =
            self.value.bytes().fold(true, |all, byte| all & is_cookie_octet(byte));
        let is_token = !self.name.is_empty() && self.name.bytes().all(is_tchar);
        let are_attributes =
            is_path(&self.path) && self.domain.as_deref().is_none_or(is_domain);
        match is_token && is_value && are_attributes && self.is_kept() {
            true => Ok(()),
            false => Err(InvalidCookie { name: self.name.clone() }),
        }
    }

    /// Whether a browser would keep it (RFC 6265bis section 5.7).
    fn is_kept(&self) -> bool {
        let begins = |prefix: &str| {
            let start = self.name.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        let is_for_one_host = self.path == "/" && self.domain.is_none();
        let must_be_secure =
            self.same_site == SameSite::None || begins("__Secure-") || begins("__Host-");
        self.name.len() + self.value.len() <= MAX_PAIR_BYTES
            && (self.secure || !must_be_secure)
            && (is_for_one_host || !begins("__Host-"))
    }

    /// As the value of a Set-Cookie field.
    pub fn to_field_value(&self) -> Result<String, InvalidCookie> {
        self.check()?;
        Ok(self.checked_field_value())
    }

    /// The same, of one that was checked before.
    pub(crate) fn checked_field_value(&self) -> String {
        // What is written below besides takes about as much.
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

/// Bytes of a name and its value.
const MAX_PAIR_BYTES: usize = 4096;

/// Bytes of a path or a domain.
const MAX_ATTRIBUTE_BYTES: usize = 1024;

/// A browser replaces a path that does not begin with a slash by one of its own choice.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= MAX_ATTRIBUTE_BYTES
        && path.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b';')
}

/// Labels of letters, digits and hyphens (RFC 1034 section 3.5).
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
