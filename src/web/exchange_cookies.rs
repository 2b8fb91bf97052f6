//! Cookies, and the session that one of them names.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::http::cookie::{self, SetCookie};
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
        let ids = self.cookie_values(&name).filter_map(Id::parse);
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
    /// of this name.
    pub fn get_cookie(&self, name: &str) -> Option<String> {
        self.cookie_values(name).last().map(str::to_owned)
    }

    /// Returns all values of a cookie that the client sent.
    pub(crate) fn cookie_values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a str> {
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

    /// Tells the client to delete a cookie that has the default path and domain.
    pub fn clear_cookie(&mut self, name: &str) -> Result {
        self.set_cookie(SetCookie::removal(name))
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

    /// Sets or deletes the cookies that follow from a change of the session.
    pub(crate) fn apply_client_update(&mut self, client_update: ClientUpdate) -> Result {
        match client_update {
            ClientUpdate::Unused | ClientUpdate::None => Ok(()),
            ClientUpdate::SendId { id, max_age, replaces_ended } => {
                if replaces_ended {
                    self.forget_visitor_id()?;
                }
                // `Max-Age` has whole seconds. Rounded up, because browsers delete a cookie
                // with `Max-Age=0` immediately.
                let max_age = max_age.saturating_add(Duration::from_millis(999));
                let cookie = SetCookie::new(self.session_cookie(), id.reveal());
                self.set_cookie(cookie.max_age(max_age))
            }
            ClientUpdate::ForgetId => {
                self.set_cookie(SetCookie::removal(self.session_cookie()))?;
                self.forget_visitor_id()
            }
        }
    }
}
