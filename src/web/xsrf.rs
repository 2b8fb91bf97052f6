//! Protection against cross-site request forgery: other sites can make a browser send a form
//! here, with its cookies, but they cannot read our pages. So a form must bring a token that
//! stood on one of them.
//!
//! A token is bound to whoever it was made for: to the session where there is one, and else to
//! a random mark in the cookie `_xsrf`, so that nothing is stored for somebody who only looks at
//! a form. Both are signed. A value that was never issued here, or that was issued before a
//! login or a rotation, is worth nothing while that session lasts and has anything in it, nor once
//! a logout has ended it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::crypto;
use crate::http::target::{Scheme, is_same_authority};
use crate::session::id::Key;

/// The cookie that marks a visitor without a session, and the field of a form that holds a token.
pub(crate) const XSRF: &str = "_xsrf";

/// What a template calls the token. Every template may, without anybody giving it.
pub(crate) const XSRF_TOKEN: &str = "xsrf_token";

/// The key that tokens are signed with.
pub struct Secret {
    /// HMAC that has taken in the key already. Each signature begins with a copy of it.
    keyed: Hmac<Sha256>,
}

/// A token before it is masked. 128 bits are as many as an id has.
type Token = [u8; 16];

/// What a visitor without a session is known by: a cookie with 128 random bits and our signature.
pub struct Mark {
    text: [u8; 64],
    token: Token,
}

/// Who a token is made for.
#[derive(Clone, Copy)]
pub enum Bearer<'a> {
    /// Whoever has this session.
    Session(Key),
    /// Whoever has this mark in a cookie.
    Visitor(&'a Mark),
}

impl Mark {
    /// As the cookie has it.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl Secret {
    /// The application's `cookie_secret`, or a random one if it has none.
    #[expect(clippy::missing_panics_doc)] // It does not panic.
    pub fn new(cookie_secret: &[u8]) -> Secret {
        let keyed = match cookie_secret {
            [] => Hmac::new_from_slice(&crypto::random::<32>()),
            given => Hmac::new_from_slice(given),
        };
        Secret {
            keyed: keyed.expect("HMAC takes a key of any length (RFC 2104 section 2)"),
        }
    }

    /// A mark for a visitor without a session.
    pub fn new_mark(&self) -> Mark {
        let mut random = [0; 32];
        write_hex(crypto::random(), &mut random);
        self.sign_mark(&random)
    }

    /// The mark that a cookie has; none if it was not issued here.
    pub fn mark(&self, text: &str) -> Option<Mark> {
        let mark = self.sign_mark(text.as_bytes().first_chunk()?);
        crypto::constant_time_eq(mark.text, text).then_some(mark)
    }

    /// A token as it stands on a page. It is masked with random bytes afresh each time, for a
    /// page that is compressed tells by its length what in it repeats (BREACH).
    pub fn issue(&self, bearer: Bearer<'_>) -> String {
        let mask = crypto::mask();
        hex::encode([mask, xor(self.token(bearer), mask)].as_flattened())
    }

    /// Whether `text` is a token of this bearer.
    pub fn accepts(&self, text: &str, bearer: Bearer<'_>) -> bool {
        let mut bytes = [Token::default(); 2];
        hex::decode_to_slice(text, bytes.as_flattened_mut()).is_ok()
            && crypto::constant_time_eq(xor(bytes[0], bytes[1]), self.token(bearer))
    }

    fn token(&self, bearer: Bearer<'_>) -> Token {
        match bearer {
            Bearer::Session(key) => self.sign(b"session", key.as_bytes())[0],
            Bearer::Visitor(mark) => mark.token,
        }
    }

    /// One HMAC gives both: its first half is shown, as the signature, and says nothing about the
    /// second, which is the token.
    fn sign_mark(&self, random: &[u8; 32]) -> Mark {
        let [signature, token] = self.sign(b"visitor", random);
        let mut text = [0; 64];
        text[..32].copy_from_slice(random);
        write_hex(signature, &mut text[32..]);
        Mark { text, token }
    }

    /// HMAC-SHA-256, in two halves. `purpose` keeps what is signed for one thing from being
    /// taken for another.
    fn sign(&self, purpose: &[u8], text: &[u8]) -> [Token; 2] {
        let mut mac = self.keyed.clone();
        mac.update(purpose);
        mac.update(b":");
        mac.update(text);
        let mut halves = [Token::default(); 2];
        halves.as_flattened_mut().copy_from_slice(&mac.finalize().into_bytes());
        halves
    }
}

fn write_hex(bytes: Token, digits: &mut [u8]) {
    hex::encode_to_slice(bytes, digits).expect("16 bytes are 32 hex digits");
}

fn xor(left: Token, right: Token) -> Token {
    std::array::from_fn(|at| left[at] ^ right[at])
}

/// Where a browser says that a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provenance<'a> {
    /// Sec-Fetch-Site.
    pub(crate) fetch_site: Option<&'a str>,
    /// Origin.
    pub(crate) origin: Option<&'a str>,
    /// Host.
    pub(crate) host: Option<&'a str>,
    /// Whether it came over https, as far as is known.
    pub(crate) https: bool,
}

impl Provenance<'_> {
    /// Whether another site sent it. Browsers that are up to date say so in Sec-Fetch-Site, and
    /// no page can make them say otherwise; older ones give an Origin, which is compared
    /// with Host; a client that gives neither is no browser, and brings no cookies of a victim.
    pub(crate) fn is_foreign(&self, trusted_origins: &[String]) -> bool {
        let is_trusted = |origin| trusted_origins.iter().any(|trusted| trusted == origin);
        if self.origin.is_some_and(is_trusted) {
            return false;
        }
        match (self.fetch_site, self.origin) {
            (Some(site), _) => !matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => {
                let (scheme, host) = origin.split_once("://").unwrap_or_default();
                let port = if scheme == "https" { Scheme::Https } else { Scheme::Http };
                let is_ours = self.host.is_some_and(|ours| {
                    is_same_authority(ours.as_bytes(), host.as_bytes(), port)
                });
                !is_ours || (self.https && scheme != "https")
            }
            (None, None) => false,
        }
    }
}
