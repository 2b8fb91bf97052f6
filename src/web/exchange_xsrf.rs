//! Telling the forms of the application from forged ones.

use crate::error::{Error, Result};
use crate::http::cookie::SetCookie;
use crate::http::status::Status;
use crate::web::exchange::Exchange;
use crate::web::xsrf::{Bearer, Provenance, XSRF};

/// Requests that other sites forge.
impl Exchange {
    /// The token that a form must bring back as `_xsrf`, or a script in the header
    /// `X-XSRFToken`. It is made for the session where there is one; another visitor is given
    /// a cookie to know it by.
    pub async fn xsrf_token(&mut self) -> Result<String> {
        if let Some(key) = self.session().xsrf_key().await? {
            return Ok(self.shared.secret.issue(Bearer::Session(key)));
        }
        let name = self.cookie_name(XSRF);
        let secret = &self.shared.secret;
        let new = self.new_cookies.iter().find(|cookie| cookie.name() == name);
        let known = match new {
            Some(cookie) => secret.mark(cookie.value()),
            None => self.cookie_values(&name).find_map(|text| secret.mark(text)),
        };
        let mark = match known {
            Some(mark) => mark,
            None => {
                let mark = secret.new_mark();
                self.set_cookie(SetCookie::new(name, mark.text()))?;
                mark
            }
        };
        Ok(self.shared.secret.issue(Bearer::Visitor(&mark)))
    }

    /// Refuses what another site made the browser send: 403.
    pub(crate) fn check_origin(&self) -> Result {
        let provenance = Provenance {
            fetch_site: self.request.field("Sec-Fetch-Site"),
            origin: self.request.field("Origin"),
            host: self.request.authority(),
            https: self.is_https(),
        };
        if provenance.is_foreign(&self.shared.settings.trusted_origins) {
            return Err(Error::http(Status::FORBIDDEN, "Cross-site request rejected."));
        }
        Ok(())
    }

    /// Refuses what does not bring a token that was made for whoever sent it: 403. A token in
    /// the URL does not count, for URLs are logged, kept and passed on.
    pub(crate) async fn check_xsrf_cookie(&mut self) -> Result {
        let session = self.session();
        let headers = ["X-XSRFToken", "X-CSRFToken"];
        let in_header = || headers.iter().find_map(|name| self.request.field(name));
        let in_form = self.arguments.body.last(XSRF)?;
        let Some(text) = in_form.or_else(in_header) else {
            return Err(Error::http(Status::FORBIDDEN, "The _xsrf token is missing."));
        };
        let name = self.cookie_name(XSRF);
        let secret = &self.shared.secret;
        let is_sessions = |key| secret.accepts(text, Bearer::Session(key));
        let is_visitors = |cookie: &str| {
            let mark = secret.mark(cookie);
            mark.is_some_and(|mark| secret.accepts(text, Bearer::Visitor(&mark)))
        };
        // A form that was fetched before a session began is good as long as there is nothing in
        // that which it could do harm to.
        let accepted = session.xsrf_key().await?.is_some_and(is_sessions)
            || (self.cookie_values(&name).any(is_visitors) && session.is_empty().await?);
        if !accepted {
            let message =
                "This form is out of date. Load its page again, and send it from there.";
            return Err(Error::http(Status::FORBIDDEN, message));
        }
        Ok(())
    }

    /// Takes the visitor's mark away at a logout: tokens that were made before the login are
    /// not to come back to life.
    pub(crate) fn forget_mark(&mut self) -> Result {
        let name = self.cookie_name(XSRF);
        let is_new = self.new_cookies.iter().any(|cookie| cookie.name() == name);
        if !is_new && self.cookie_values(&name).next().is_some() {
            self.clear_cookie(&name)?;
        }
        Ok(())
    }
}
