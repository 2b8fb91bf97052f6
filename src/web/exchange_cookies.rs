//! Tornado's verbs for cookies, and the cookie of the session.

use std::borrow::Cow;
use std::time::Duration;

use crate::error::Result;
use crate::http::cookie::{self, SetCookie};
use crate::session::ClientUpdate;
use crate::web::exchange::Exchange;

/// Cookies.
impl Exchange {
    /// The value of a cookie that the client sent; the last, if there are several.
    pub fn get_cookie(&self, name: &str) -> Option<String> {
        self.cookie_values(name).last().map(str::to_owned)
    }

    /// Every value of a cookie that the client sent.
    pub(crate) fn cookie_values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let fields = self.request.field_values("Cookie");
        fields.flat_map(move |field| cookie::values(field, name))
    }

    /// Sets a cookie; over https it becomes `Secure`. It is sent with the response unless that
    /// becomes an error page.
    pub fn set_cookie(&mut self, cookie: SetCookie) -> Result {
        let cookie = if self.is_https() { cookie.secure(true) } else { cookie };
        cookie.check()?;
        self.new_cookies.retain(|other| !cookie.replaces(other));
        self.new_cookies.push(cookie);
        Ok(())
    }

    /// Makes the client forget a cookie that has the default path and domain.
    pub fn clear_cookie(&mut self, name: &str) -> Result {
        self.set_cookie(SetCookie::removal(name))
    }

    /// A cookie of our own by the name that it has on this connection. Over https the prefix
    /// `__Host-` keeps neighboring domains from planting one (RFC 6265bis section 4.1.3.2).
    pub(crate) fn cookie_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        if self.is_https() { format!("__Host-{name}").into() } else { name.into() }
    }

    /// The name of the session's cookie on this connection.
    pub(crate) fn session_cookie(&self) -> Cow<'_, str> {
        self.cookie_name(&self.shared.settings.session_cookie)
    }

    /// Tells the client what is new about its session.
    pub(crate) fn apply_client_update(&mut self, client_update: ClientUpdate) -> Result {
        match client_update {
            ClientUpdate::Unused | ClientUpdate::None => Ok(()),
            ClientUpdate::SendId { id, max_age, replaces_ended } => {
                if replaces_ended {
                    self.forget_mark()?;
                }
                // In whole seconds, and the last one counts: a cookie for none is dropped at once.
                let max_age = max_age.saturating_add(Duration::from_millis(999));
                let cookie = SetCookie::new(self.session_cookie(), id.reveal());
                self.set_cookie(cookie.max_age(max_age))
            }
            ClientUpdate::ForgetId => {
                self.set_cookie(SetCookie::removal(self.session_cookie()))?;
                self.forget_mark()
            }
        }
    }
}
