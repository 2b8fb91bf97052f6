//! XSRF tokens and origin checks of one exchange. The cryptography is in
//! [`xsrf`](crate::web::xsrf).

use std::borrow::Cow;

use crate::error::{Error, HttpError, Result};
use crate::http::cookie::SetCookie;
use crate::http::status::Status;
use crate::web::exchange::Exchange;
use crate::web::xsrf::{RequestOrigin, TokenOwner, XSRF};

/// Cross-site request forgery.
impl Exchange {
    /// Returns the token that a form must send as `_xsrf`, or a script in the header field
    /// `X-XSRFToken`. It is bound to the session if there is one, and otherwise to a visitor
    /// id; if the client has no visitor id, this sets the cookie with a new one. Tornado's
    /// `xsrf_token`.
    ///
    /// A script cannot read the token from a cookie, as in Tornado: the cookies are `HttpOnly`,
    /// and the token is in none of them. The template renders it into the page, and the script
    /// sends it from there:
    ///
    /// ```html
    /// <meta name="xsrf-token" content="{{ xsrf_token }}">
    /// <script src="/static/chat.js"></script>
    /// ```
    /// ```js
    /// const token = document.querySelector('meta[name="xsrf-token"]').content;
    /// fetch("/message", { method: "POST", headers: { "X-XSRFToken": token }, body: form });
    /// ```
    /// The token changes with the login and the logout; a page that was loaded before needs to
    /// be loaded again.
    pub async fn xsrf_token(&mut self) -> Result<String> {
        if let Some(key) = self.session().xsrf_key().await? {
            return Ok(self.shared.secret.issue(TokenOwner::Session(key)));
        }
        let name = self.cookie_name(XSRF);
        let secret = &self.shared.secret;
        let new = self.new_cookies.iter().find(|cookie| cookie.name() == name);
        let known = match new {
            Some(cookie) => secret.visitor_id(cookie.value()),
            None => self.cookie_values(&name).find_map(|text| secret.visitor_id(&text)),
        };
        let id = match known {
            Some(id) => id,
            None => {
                let id = secret.new_visitor_id();
                self.set_cookie(self.with_same_site(SetCookie::new(name, id.text())))?;
                id
            }
        };
        Ok(self.shared.secret.issue(TokenOwner::Visitor(&id)))
    }

    /// Rejects a request that a page of another site made the browser send: 403. The log says
    /// which fields differed, because a proxy that replaces `Host` looks the same.
    pub(crate) fn check_origin(&self) -> Result {
        let origin = RequestOrigin {
            fetch_site: self.request.field("Sec-Fetch-Site"),
            origin: self.request.field("Origin"),
            host: self.request.authority(),
            https: self.is_https(),
        };
        if origin.is_cross_site(&self.shared.settings.trusted_origins) {
            let error = HttpError::new(Status::FORBIDDEN, "Cross-site request rejected.");
            return Err(error.with_detail(origin.advice()).into());
        }
        step!("origin: not from another site");
        Ok(())
    }

    /// Rejects a request without a token of the client's session or visitor id: 403. A token in
    /// the URL is not accepted, because URLs end up in logs, histories and `Referer` fields.
    pub(crate) async fn check_xsrf_cookie(&mut self) -> Result {
        let session = self.session();
        let headers = ["X-XSRFToken", "X-CSRFToken"];
        let in_header = || headers.iter().find_map(|name| self.request.field(name));
        let in_form = self.arguments.body.last(XSRF)?;
        let Some(token) = in_form.or_else(in_header) else {
            return Err(Error::http(Status::FORBIDDEN, "The _xsrf token is missing."));
        };
        let name = self.cookie_name(XSRF);
        let secret = &self.shared.secret;
        let is_sessions = |key| secret.verify(token, TokenOwner::Session(key));
        let is_visitors = |cookie: Cow<'_, str>| {
            let id = secret.visitor_id(&cookie);
            id.is_some_and(|id| secret.verify(token, TokenOwner::Visitor(&id)))
        };
        // The form may have been loaded before the session was created. Its visitor token is
        // accepted while the session is empty, because a forged request could not change
        // anything in an empty session.
        let accepted = session.xsrf_key().await?.is_some_and(is_sessions)
            || (self.cookie_values(&name).any(is_visitors) && session.is_empty().await?);
        if !accepted {
            let message =
                "This form is out of date. Load its page again, and send it from there.";
            return Err(Error::http(Status::FORBIDDEN, message));
        }
        step!("token: accepted");
        Ok(())
    }

    /// Deletes the cookie with the visitor id after a logout, so that tokens from before the
    /// login do not become valid again.
    pub(crate) fn forget_visitor_id(&mut self) -> Result {
        let name = self.cookie_name(XSRF);
        let is_new = self.new_cookies.iter().any(|cookie| cookie.name() == name);
        if !is_new {
            self.clear_cookie(&name)?;
        }
        Ok(())
    }
}
