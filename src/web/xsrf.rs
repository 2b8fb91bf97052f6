//! Tokens against cross-site request forgery (CSRF; Tornado writes XSRF).
//!
//! A page of another site can make a browser send a form to this server, with the browser's
//! cookies. It cannot read the pages of this site (same-origin policy). So a form must contain
//! a token from one of them. OWASP's CSRF cheat sheet names two patterns, and both are used:
//!
//! - Synchronizer token: a client with a session gets a token that is bound to the session's
//!   key. The token is an HMAC of the key, so nothing is stored for it.
//! - Signed double-submit cookie: a client without a session gets a random visitor id in the
//!   cookie `_xsrf`, and a token that is bound to this id. Loading a login form stores nothing
//!   either. The signature proves that the id was issued here.
//!
//! ```text
//! r              hex(16 random bytes)                             32 characters
//! cookie _xsrf   r, hex(HMAC(secret, "visitor:" r)[..16])         64 characters
//! token          HMAC(secret, "visitor:" r)[16..]                 16 bytes
//!             or HMAC(secret, "session:" key)[..16]               16 bytes
//! form _xsrf     hex(mask), hex(mask XOR token)                   64 characters
//! ```
//! Login and rotation change the session's key, so earlier tokens become invalid.
//!
//! A visitor's token is weaker: an attacker can load a form, and plant the id that was issued
//! for it in the browser of a victim (cookie tossing). So it is accepted only while the session
//! is empty, and a logout deletes the visitor id. Over https the prefix `__Host-` prevents
//! planting.
//!
//! The token is masked with new random bytes each time, because a compressed page reveals by
//! its length which of its parts repeat: an attacker could guess a constant token byte by byte
//! (BREACH).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::crypto;
use crate::http::target::{Scheme, is_authority, is_same_authority};
use crate::session::id::Key;

/// The name of the cookie with the visitor id, and of the form field with the token.
pub(crate) const XSRF: &str = "_xsrf";

/// The placeholder of the token, which every template may use.
pub(crate) const XSRF_TOKEN: &str = "xsrf_token";

/// The key that signs visitor ids and tokens, and [cookies](crate::web::signed).
pub struct Secret {
    /// The HMAC state after the key. Each signature starts from a copy, which saves hashing the
    /// key again.
    keyed: Hmac<Sha256>,
}

/// A token before it is masked: 128 bits, like a session id.
type Token = [u8; 16];

/// The identity of a client without a session: 128 random bits and a signature, in a cookie.
pub struct VisitorId {
    text: [u8; 64],
    token: Token,
}

/// The session or the visitor that a token is bound to.
#[derive(Clone, Copy)]
pub enum TokenOwner<'a> {
    /// The session with this key.
    Session(Key),
    /// The visitor with this id in the cookie.
    Visitor(&'a VisitorId),
}

impl VisitorId {
    /// Returns the value of the cookie.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl Secret {
    /// Creates the key from the application's `cookie_secret`, or a random one if it is empty.
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

    /// Creates the id of a visitor without a session.
    pub fn new_visitor_id(&self) -> VisitorId {
        let mut random = [0; 32];
        write_hex(crypto::random(), &mut random);
        self.sign_visitor_id(&random)
    }

    /// Returns the id in a cookie, or `None` if its signature is not valid.
    pub fn visitor_id(&self, text: &str) -> Option<VisitorId> {
        let id = self.sign_visitor_id(text.as_bytes().first_chunk()?);
        crypto::constant_time_eq(id.text, text).then_some(id)
    }

    /// Returns a token for a page, masked with new random bytes.
    pub fn issue(&self, owner: TokenOwner<'_>) -> String {
        let mask = crypto::mask();
        hex::encode([mask, xor(self.token(owner), mask)].as_flattened())
    }

    /// Returns `true` if `text` is a token of this owner.
    pub fn verify(&self, text: &str, owner: TokenOwner<'_>) -> bool {
        let mut bytes = [Token::default(); 2];
        hex::decode_to_slice(text, bytes.as_flattened_mut()).is_ok()
            && crypto::constant_time_eq(xor(bytes[0], bytes[1]), self.token(owner))
    }

    fn token(&self, owner: TokenOwner<'_>) -> Token {
        match owner {
            TokenOwner::Session(key) => self.sign(b"session", key.as_bytes())[0],
            TokenOwner::Visitor(id) => id.token,
        }
    }

    /// Signs a visitor id. One HMAC gives both halves: the first is the signature, which the
    /// client sees. It reveals nothing about the second, which is the token.
    fn sign_visitor_id(&self, random: &[u8; 32]) -> VisitorId {
        let [signature, token] = self.sign(b"visitor", random);
        let mut text = [0; 64];
        text[..32].copy_from_slice(random);
        write_hex(signature, &mut text[32..]);
        VisitorId { text, token }
    }

    /// Returns HMAC-SHA-256 in two halves. `purpose` separates the domains: a signature for one
    /// purpose is not valid for another.
    pub(super) fn sign(&self, purpose: &[u8], text: &[u8]) -> [Token; 2] {
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
    std::array::from_fn(|index| left[index] ^ right[index])
}

/// Returns `true` if `text` has the form of an origin (RFC 6454 section 6.2): without a path.
pub(crate) fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, host)| is_authority(host.as_bytes()))
}

/// The fields by which a browser states the origin of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestOrigin<'a> {
    /// `Sec-Fetch-Site` (Fetch Metadata).
    pub(crate) fetch_site: Option<&'a str>,
    /// `Origin`.
    pub(crate) origin: Option<&'a str>,
    /// `Host`.
    pub(crate) host: Option<&'a str>,
    /// `true` if the client uses https.
    pub(crate) https: bool,
}

impl RequestOrigin<'_> {
    /// Returns `true` if a page of another origin sent the request and is not trusted.
    ///
    /// Current browsers send `Sec-Fetch-Site`, which scripts cannot set. Older browsers send
    /// `Origin`, which is compared with `Host`. A client that sends neither is not a browser,
    /// so it does not carry a victim's cookies.
    pub(crate) fn is_cross_site(&self, trusted_origins: &[String]) -> bool {
        let is_trusted = |origin| trusted_origins.iter().any(|trusted| trusted == origin);
        if self.origin.is_some_and(is_trusted) {
            return false;
        }
        match (self.fetch_site, self.origin) {
            (Some(site), _) => !matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => {
                let (scheme, host) = origin.split_once("://").unwrap_or_default();
                let port = if scheme == "https" { Scheme::Https } else { Scheme::Http };
                let is_same_host = self.host.is_some_and(|ours| {
                    is_same_authority(ours.as_bytes(), host.as_bytes(), port)
                });
                !is_same_host || (self.https && scheme != "https")
            }
            (None, None) => false,
        }
    }

    /// Returns what the log says about a rejected request: the fields that were compared, and
    /// the settings to look at.
    pub(crate) fn advice(&self) -> String {
        let fields = [self.origin, self.host, self.fetch_site];
        let [origin, host, site] = fields.map(|field| field.unwrap_or("(none)"));
        format!(
            "Origin {origin}, Host {host}, Sec-Fetch-Site {site}, https: {}. If a proxy has \
             replaced Host, let it send the client's (nginx: proxy_set_header Host $host). Of \
             trusted_proxies, X-Forwarded-Proto says whether it is https. If pages of this \
             origin may send requests, add it to trusted_origins",
            self.https
        )
    }
}
