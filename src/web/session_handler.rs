//! The base handler with a session: the tutorial's `SessionHandler`.
//!
//! In the tutorial, `initialize` creates a wrapper around the process's static map of sessions,
//! and the other handlers inherit it:
//!
//! ```python
//! class SessionHandler(RequestHandler):
//!     def initialize(self):
//!         self.session = CacheSession(self)      # finds the session by its cookie
//!
//! class MainHandler(SessionHandler):
//!     ...
//! ```
//! Rust has no inheritance, so a handler has a [`SessionHandler`] as its field `base`
//! (composition) and calls the base's `initialize` first. [`Session`] takes the place of
//! `CacheSession`; the static map is the default
//! [`session_store`](crate::Settings::session_store).

use crate::error::{Error, Result};
use crate::escape::{self, is_plain_url};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::session::{Session, USERNAME};
use crate::web::exchange::Exchange;
use crate::web::template::Value;
use crate::web::xsrf::XSRF_TOKEN;

/// The base of a handler that uses a session.
///
/// A session ends five minutes after its last use, and eight hours after its login, unless
/// [`session_lifetime`](crate::Settings::session_lifetime) says otherwise: a user that reads a
/// page for six minutes has to log in again.
///
/// ```
/// use dustdevil::{Exchange, Method, RequestHandler, Result, SessionHandler};
///
/// /// Counts the visits of a client.
/// struct VisitsHandler {
///     base: SessionHandler,
/// }
///
/// impl RequestHandler for VisitsHandler {
///     const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];
///
///     async fn initialize(exchange: &mut Exchange) -> Result<Self> {
///         Ok(Self { base: SessionHandler::initialize(exchange).await? })
///     }
///
///     async fn get(&mut self, exchange: &mut Exchange) -> Result {
///         let visits = self.base.session.increment("visits", 1).await?;
///         exchange.write(format!("{}\n", visits.unwrap_or_default()))
///     }
/// }
/// ```
pub struct SessionHandler {
    /// The session of the client.
    pub session: Session,
}

impl SessionHandler {
    /// The `initialize` hook. It does not call the store: the session is resolved at its first
    /// use.
    // `async` although it does not wait, so that another base, which has to wait, can replace
    // it.
    #[allow(clippy::unused_async)]
    pub async fn initialize(exchange: &mut Exchange) -> Result<SessionHandler> {
        Ok(SessionHandler { session: exchange.session() })
    }

    /// Finishes the response with a template, like [`Exchange::render`]. A placeholder is looked
    /// up in `values` first, then in the session.
    pub async fn render(
        &self,
        exchange: &mut Exchange,
        template: &str,
        values: &[(&str, Value<'_>)],
    ) -> Result {
        let parsed = exchange.shared.templates.find(template)?;
        let mut found: Vec<(&str, String)> = Vec::new();
        for name in parsed.placeholders() {
            let is_known = name == XSRF_TOKEN
                || values.iter().any(|(given, _)| *given == name)
                || found.iter().any(|(found, _)| *found == name);
            if !is_known && let Some(value) = self.session.get(name).await? {
                found.push((name, value));
            }
        }
        let found = found.iter().map(|(name, value)| (*name, value as Value<'_>));
        let values: Vec<(&str, Value<'_>)> = values.iter().copied().chain(found).collect();
        exchange.render(template, &values).await
    }

    /// Returns the name of the logged-in user. Tornado's `current_user`.
    pub async fn current_user(&self) -> Result<Option<String>> {
        Ok(self.session.get(USERNAME).await?)
    }

    /// Returns the name of the logged-in user, or ends the request if there is none. GET and
    /// HEAD are redirected to the `login_url`, with the requested URL in the argument `next`:
    /// path and query, or the [full URL](Exchange::full_url) if the `login_url` is on another
    /// site, which has to check it. Other methods get 403. Tornado's `@authenticated`.
    pub async fn authenticated(&self, exchange: &mut Exchange) -> Result<String> {
        if let Some(user) = self.current_user().await? {
            return Ok(user);
        }
        if !matches!(exchange.request.method(), Method::Get | Method::Head) {
            return Err(Error::http(Status::FORBIDDEN, "You are not logged in."));
        }
        let login_url = &exchange.shared.settings.login_url;
        let next = match has_scheme(login_url) {
            true => escape::url(&exchange.full_url()),
            false => escape::url(&exchange.path_and_query()),
        };
        let separator = if login_url.contains('?') { '&' } else { '?' };
        let url = format!("{login_url}{separator}next={next}");
        exchange.redirect(&url)?;
        Err(Error::Finish)
    }

    /// Returns the argument `next` if it is a path on this server. Any other target could send
    /// the user to another site from a link that names this one (open redirect).
    pub fn next_path(exchange: &Exchange) -> Option<String> {
        let next = exchange.find_argument("next").ok()??;
        (next.starts_with('/') && is_plain_url(&next)).then_some(next)
    }
}

/// Returns `true` for an absolute URL, `https://login.example/`.
fn has_scheme(url: &str) -> bool {
    url.split('/').next().is_some_and(|scheme| scheme.ends_with(':'))
}
