//! The base handler with a session.
//!
//! ```python
//! class SessionHandler(RequestHandler):          # as the tutorial has it
//!     def initialize(self):
//!         self.session = CacheSession(self)
//! ```

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::escape::{self, is_plain_url};
use crate::http::method::Method;
use crate::http::status::Status;
use crate::session::{Session, USERNAME};
use crate::web::exchange::Exchange;
use crate::web::xsrf::XSRF_TOKEN;

/// What a handler with a session builds on: it keeps one of these inside, and begins with its
/// hook.
///
/// ```
/// use dustdevil::{Exchange, Method, RequestHandler, Result, SessionHandler};
///
/// /// Counts your visits.
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
///         let count = |visits: Option<u32>| visits.unwrap_or(0) + 1;
///         let visits = self.base.session.update("visits", count).await?;
///         exchange.write(format!("{}\n", visits.unwrap_or_default()))
///     }
/// }
/// ```
pub struct SessionHandler {
    /// The session of whoever sent the request.
    pub session: Session,
}

impl SessionHandler {
    /// The hook. It asks nobody anything: the session is looked up when it is first used.
    // Async, as every hook is, so that a base may be swapped for one that has to wait.
    #[allow(clippy::unused_async)]
    pub async fn initialize(exchange: &mut Exchange) -> Result<SessionHandler> {
        Ok(SessionHandler { session: exchange.session() })
    }

    /// Answers with a template, whose names are looked for in `values` first, and in the session
    /// after them.
    pub async fn render(
        &self,
        exchange: &mut Exchange,
        template: &str,
        values: &[(&str, &str)],
    ) -> Result {
        let shared = Arc::clone(&exchange.shared);
        let mut found: Vec<(&str, String)> = Vec::new();
        for name in shared.templates.find(template)?.names() {
            let is_known = name == XSRF_TOKEN
                || values.iter().any(|(given, _)| *given == name)
                || found.iter().any(|(found, _)| *found == name);
            if !is_known && let Some(value) = self.session.get(name).await? {
                found.push((name, value));
            }
        }
        let found = found.iter().map(|(name, value)| (*name, value.as_str()));
        let values: Vec<(&str, &str)> = values.iter().copied().chain(found).collect();
        exchange.render(template, &values).await
    }

    /// Who is logged in. Tornado's `current_user`.
    pub async fn current_user(&self) -> Result<Option<String>> {
        Ok(self.session.get(USERNAME).await?)
    }

    /// The name of whoever is logged in. Others do not get past it: if they only look, they are
    /// sent to the `login_url`, with where they wanted to go as `next`, and else they are
    /// answered 403. Tornado's `@authenticated`.
    pub async fn authenticated(&self, exchange: &mut Exchange) -> Result<String> {
        if let Some(user) = self.current_user().await? {
            return Ok(user);
        }
        if !matches!(exchange.request.method(), Method::Get | Method::Head) {
            return Err(Error::http(Status::FORBIDDEN, "You are not logged in."));
        }
        let request = &exchange.request;
        let query = request.query().map(|query| format!("?{query}")).unwrap_or_default();
        let next = escape::url(&format!("{}{query}", request.path()));
        let login_url = &exchange.shared.settings.login_url;
        let separator = if login_url.contains('?') { '&' } else { '?' };
        let url = format!("{login_url}{separator}next={next}");
        exchange.redirect(&url)?;
        Err(Error::Finish)
    }

    /// Where a client asked to be sent on to, in the argument `next`, if that is a path here.
    /// Anything else could be somebody else's site under our name.
    pub fn next_path(exchange: &Exchange) -> Option<String> {
        let next = exchange.find_argument("next").ok()??;
        (next.starts_with('/') && is_plain_url(&next)).then_some(next)
    }
}
