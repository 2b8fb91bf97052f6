//! Cookies, and the session that one of them names.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::http::cookie::{self, SameSite, SetCookie};
use crate::http::method::Method;
use crate::session::id::Id;
use crate::session::store::Store;
use crate::session::{ClientUpdate, Session, SessionConfig};
use crate::web::exchange::Exchange;

/// The session.
impl Exchange {
    /// Returns the session of the client. The store is not asked before the session is used.
    ///
    /// A response that used the session is sent with `Vary: Cookie` and `Cache-Control:
    /// no-store`, even if the handler has set other values; so is a stream, which may use the
    /// session while it is sent. A session cannot be created during a stream, because the head
    /// with the cookie has been sent already.
    pub fn session(&mut self) -> Session {
        if let Some(session) = &self.session {
            return session.clone();
        }
        let name = self.session_cookie();
        let ids = self.cookie_values(&name).filter_map(|value| Id::parse(&value));
        let settings = &self.shared.settings;
        let config = SessionConfig {
            lifetime: settings.session_lifetime,
            max_sessions_per_user: settings.max_sessions_per_user,
        };
        let store = Arc::clone(&self.shared.store);
        let session = Session::new(store, config, self.remote_ip(), ids);
        if self.request.method() == Method::Head {
            session.keep_flash();
        }
        self.session = Some(session.clone());
        session
    }

    /// Returns the store of all sessions, for pages that show its
    /// [`counters`](crate::session::store::Store::counters) or
    /// [revoke all sessions](crate::session::login::revoke_all) of a user.
    pub fn session_store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }
}

/// Cookies.
impl Exchange {
    /// Returns the value of a cookie that the client sent; the last one, if there are several
    /// of this name. A value that Tornado or Python has quoted is decoded, see
    /// [`cookie::values`].
    pub fn get_cookie(&self, name: &str) -> Option<String> {
        self.cookie_values(name).last().map(Cow::into_owned)
    }

    /// Returns all values of a cookie that the client sent.
    pub(crate) fn cookie_values(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        let fields = self.request.field_values("Cookie");
        fields.flat_map(move |field| cookie::values(field, name))
    }

    /// Sets a cookie, with the attribute `Secure` over https. It is sent with the response; an
    /// error page drops it.
    pub fn set_cookie(&mut self, cookie: SetCookie) -> Result {
        let cookie = if self.is_https() { cookie.secure(true) } else { cookie };
        cookie.check()?;
        self.new_cookies.retain(|other| !cookie.replaces(other));
        self.new_cookies.push(cookie);
        Ok(())
    }

    /// Tells the client to delete a cookie that has the default path and domain, if it sent one
    /// of this name; also takes back the one that this response would have set. For a cookie
    /// with other attributes, [set](Exchange::set_cookie) a [`SetCookie::removal`] with the
    /// same, which is always sent. The cookie of the session is deleted by
    /// [`Session::destroy`]. Tornado's `clear_cookie`.
    pub fn clear_cookie(&mut self, name: &str) -> Result {
        let removal = self.with_same_site(SetCookie::removal(name));
        self.set_cookie(removal)?;
        let mut sent = self.request.field_values("Cookie").flat_map(cookie::pairs);
        if sent.all(|(other, _)| other != name.as_bytes()) {
            self.new_cookies.pop();
        }
        Ok(())
    }

    /// Tells the client to delete all cookies that it sent, as by
    /// [`clear_cookie`](Exchange::clear_cookie), and ends the session: an id that its
    /// client has lost would be of use to an attacker only. Left out are cookies after the
    /// first 180 (Chrome keeps no more for one site), and names that a script can set but no
    /// response. Fails only if the session store fails. Tornado's `clear_all_cookies`, which
    /// knows no sessions.
    pub async fn clear_all_cookies(&mut self) -> Result {
        self.session().destroy().await?;
        let sent = self.request.field_values("Cookie").flat_map(cookie::pairs);
        let names = sent.map(|(name, _)| String::from_utf8_lossy(name).into_owned());
        for name in names.take(MAX_CLEARED_COOKIES).collect::<Vec<_>>() {
            // Fails for a name that cannot be set; the client may have sent any.
            let _ = self.clear_cookie(&name);
        }
        Ok(())
    }

    /// Sets a [signed cookie](crate::web::signed): the client can read the value, but not
    /// change it. It expires `max_age` from now (whole seconds) in the browser. `value` may be
    /// any text; as it is percent-encoded, fewer than 4,000 bytes fit. Fails if it is too long, or
    /// without a `cookie_secret`. Tornado's `set_signed_cookie` and `set_secure_cookie`.
    ///
    /// For a cookie with other attributes, set one with a
    /// [`create_signed_value`](Exchange::create_signed_value).
    pub fn set_signed_cookie(
        &mut self,
        name: &str,
        value: &str,
        max_age: Duration,
    ) -> Result {
        let signed = self.create_signed_value(name, value)?;
        self.set_cookie(SetCookie::new(name, signed).max_age(max_age))
    }

    /// Returns the value of a signed cookie that the client sent, or `None` if there is none
    /// that was signed here, for this name, within the last `max_age`. The server checks that
    /// itself, because a client may keep a cookie for longer than it should. Of several, the
    /// last counts. Tornado's `get_signed_cookie` and `get_secure_cookie`.
    pub fn get_signed_cookie(&self, name: &str, max_age: Duration) -> Option<String> {
        let (secret, now) = (&self.shared.secret, SystemTime::now());
        let values = self.cookie_values(name);
        values.filter_map(|signed| secret.open(name, &signed, now, max_age)).last()
    }

    /// Signs a value with the current time, for a cookie of this name. Fails if the setting
    /// `cookie_secret` is empty: each process would sign with a random key of its own, and the
    /// next one would refuse the cookie. Tornado's `create_signed_value`.
    pub fn create_signed_value(&self, name: &str, value: &str) -> Result<String> {
        if self.shared.settings.cookie_secret.is_empty() {
            return Err(Error::other("signed cookies need the setting cookie_secret"));
        }
        Ok(self.shared.secret.seal(name, value, SystemTime::now()))
    }

    /// Returns the name that a cookie of this crate has on this connection. Over https it has
    /// the prefix `__Host-`, which browsers accept only from this host itself, so a sibling
    /// domain cannot plant one (cookie tossing; RFC 6265bis section 4.1.3.2).
    pub(crate) fn cookie_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.is_https() { format!("__Host-{name}").into() } else { name.into() }
    }

    /// Returns the name that the session cookie has on this connection.
    pub(crate) fn session_cookie(&self) -> Cow<'_, str> {
        self.cookie_name(&self.shared.settings.session_cookie)
    }

    /// Gives a cookie of this crate, or a removal, the `SameSite` of the settings. Browsers
    /// reject `SameSite=None` over plain http, so it is `Lax` there.
    pub(crate) fn with_same_site(&self, cookie: SetCookie) -> SetCookie {
        match self.shared.settings.session_same_site {
            SameSite::None if !self.is_https() => cookie.same_site(SameSite::Lax),
            same_site => cookie.same_site(same_site),
        }
    }

    /// Sets or deletes the cookies that follow from a change of the session.
    pub(crate) fn apply_client_update(&mut self, client_update: ClientUpdate) -> Result {
        match client_update {
            ClientUpdate::Unused | ClientUpdate::None => Ok(()),
            ClientUpdate::SendId { id, max_age, replaces_ended } => {
                if replaces_ended {
                    self.forget_visitor_id()?;
                }
                let cookie = SetCookie::new(self.session_cookie(), id.reveal());
                let mut cookie = self.with_same_site(cookie);
                if !self.shared.settings.session_until_browser_closes {
                    // `Max-Age` has whole seconds. Rounded up, because browsers delete a
                    // cookie with `Max-Age=0` immediately.
                    let max_age = max_age.saturating_add(Duration::from_millis(999));
                    cookie = cookie.max_age(max_age);
                }
                self.set_cookie(cookie)
            }
            ClientUpdate::ForgetId => {
                let name = self.session_cookie().into_owned();
                self.clear_cookie(&name)?;
                self.forget_visitor_id()
            }
        }
    }
}

/// Maximum number of cookies that one response deletes. It bounds the response to a client that
/// sends thousands of names.
const MAX_CLEARED_COOKIES: usize = 180;
