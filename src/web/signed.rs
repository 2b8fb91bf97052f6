//! Signed cookies: values that the client keeps and cannot change.
//!
//! ```text
//! cookie      time ":" value ":" hex(HMAC(secret, "cookie:" name ":" time ":" value))
//! time        Unix time of the signature, in seconds
//! value       percent-encoded, so that it contains no colon
//! ```
//! The HMAC covers the name, so that a cookie is not valid under another name, and the time, so
//! that its age can be checked. The purpose `cookie` separates it from the other signatures
//! with the same secret, such as that of a visitor id (see [`xsrf`](crate::web::xsrf)).
//!
//! A signature proves that the value was issued here, and not to which client: a sibling domain
//! can plant a cookie that was issued to the attacker (cookie tossing), which a name with the
//! prefix `__Host-` prevents. A value cannot be revoked before it expires either; what a logout
//! must end belongs into the session. Tornado's format, which has key versions, is another one:
//! its cookies are not accepted here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use percent_encoding::percent_decode_str;

use crate::crypto;
use crate::escape;
use crate::web::xsrf::Secret;

/// Maximum time by which a signature may lie in the future: the clocks of two servers differ,
/// or one was set back.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

impl Secret {
    /// Signs a value for a cookie of this name, with the time `now`.
    pub fn seal(&self, name: &str, value: &str, now: SystemTime) -> String {
        let time = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let value = escape::url(value);
        let signature = self.sign(b"cookie", format!("{name}:{time}:{value}").as_bytes());
        format!("{time}:{value}:{}", hex::encode(signature.as_flattened()))
    }

    /// Returns the value of a cookie of this name, or `None` if its signature is not valid, or
    /// if at the time `now` it is older than `max_age` or more than 5 minutes in the future.
    ///
    /// A cookie is valid if its parts, signed again, are the same text. So each value and time
    /// has one valid form, and no other division of the signed text is accepted.
    pub fn open(
        &self,
        name: &str,
        cookie: &str,
        now: SystemTime,
        max_age: Duration,
    ) -> Option<String> {
        let (time, rest) = cookie.split_once(':')?;
        let value = percent_decode_str(rest.split(':').next()?).decode_utf8().ok()?;
        let issued = UNIX_EPOCH.checked_add(Duration::from_secs(time.parse().ok()?))?;
        let is_signed = crypto::constant_time_eq(self.seal(name, &value, issued), cookie);
        // A time in the future has no age, so the age is counted from `MAX_CLOCK_SKEW` before.
        let age = now.checked_add(MAX_CLOCK_SKEW)?.duration_since(issued).ok()?;
        let is_current = age <= max_age.saturating_add(MAX_CLOCK_SKEW);
        (is_signed && is_current).then(|| value.into_owned())
    }
}
