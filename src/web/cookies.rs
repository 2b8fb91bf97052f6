//! Tornado's verbs for cookies, and the cookie of the session.

use std::time::Duration;

use crate::error::Result;
use crate::http::cookie::{self, SetCookie};
use crate::session::Announcement;
use crate::web::exchange::Exchange;

/// Cookies.
impl Exchange {
    /// The value of a cookie that the client sent; the last, if there are several.
    pub fn get_cookie(&self, name: &str) -> Option<String> {
        self.cookie_values(name).pop()
    }

    /// Every value of a cookie that the client sent.
    pub(crate) fn cookie_values(&self, name: &str) -> Vec<String> {
        let fields = self.request.field_values("Cookie");
        fields.flat_map(|field| cookie::values(field, name)).map(str::to_owned).collect()
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
    pub(crate) fn cookie_name(&self, name: &str) -> String {
        if self.is_https() { format!("__Host-{name}") } else { name.to_owned() }
    }

    /// Tells the client what is new about its session.
    pub(crate) fn tell(&mut self, announcement: Announcement) -> Result {
        let name = self.cookie_name(&self.shared.settings.session_cookie);
        match announcement {
            Announcement::Nothing => {}
            Announcement::Issue { id, keep, is_another } => {
                if is_another {
                    self.forget_mark()?;
                }
                // In whole seconds, and the last one counts: a cookie for none is dropped at once.
                let keep = keep.saturating_add(Duration::from_millis(999));
                self.set_cookie(SetCookie::new(name, id.reveal()).max_age(keep))?;
            }
            Announcement::Withdraw => {
                self.clear_cookie(&name)?;
                self.forget_mark()?;
            }
        }
        Ok(())
    }
}
