//! The page `/sessions` of the demo: lists the user's sessions and revokes them, as OWASP's
//! Session Management Cheat Sheet recommends.

use std::time::Duration;

use dustdevil::session::id::Key;
use dustdevil::session::store::SessionInfo;
use dustdevil::{
    Error, Exchange, RequestHandler, Result, SessionHandler, Status, Value, methods,
};

use super::credentials;

/// Maximum number of characters of a `User-Agent` field that a session stores.
const MAX_DEVICE_CHARS: usize = 200;

/// The name of a device without a `User-Agent` field.
const UNKNOWN: &str = "Unknown device";

/// Handles `/sessions`: GET lists the user's sessions, POST revokes one or all others.
pub(crate) struct SessionsHandler {
    base: SessionHandler,
}

impl RequestHandler for SessionsHandler {
    methods!(Get, Post; base: SessionHandler);

    /// Renders a template for each session, and inserts them with `{{ raw rows }}`: a template
    /// has no loops.
    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        let session = &self.base.session;
        let message = session.take_flash().await?.unwrap_or_default();
        let stylesheet = exchange.static_url("site.css").await?;
        let this = session.store_key().await?;
        let mut rows = String::new();
        for info in session.sessions().await? {
            let current = if this == Some(info.key) { "This session" } else { "" };
            rows += &row(exchange, &info, current).await?;
        }
        let values: [(_, Value<'_>); 4] = [
            ("username", &username),
            ("message", &message),
            ("stylesheet", &stylesheet),
            ("rows", &rows),
        ];
        exchange.render("sessions.html", &values).await
    }

    /// Asks for the password again (reauthentication): otherwise an attacker at an unlocked
    /// browser could sign the user out everywhere. A wrong password counts at the same rate
    /// limits as at the login.
    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        let password = exchange.get_body_argument_raw("password")?;
        let session = &self.base.session;
        if !credentials::authenticate(exchange, &username, &password)? {
            session.flash("Wrong password.").await?;
            return exchange.redirect("/sessions");
        }
        if exchange.get_body_argument("others").is_ok() {
            let revoked = session.revoke_others().await?;
            session.flash(&format!("Signed out {revoked} other sessions.")).await?;
        } else {
            let key = Key::parse(&exchange.get_body_argument("key")?);
            let no_key = || Error::http(Status::BAD_REQUEST, "Invalid session key.");
            session.revoke(key.ok_or_else(no_key)?).await?;
            session.flash("Session ended.").await?;
        }
        exchange.redirect("/sessions")
    }
}

async fn row(exchange: &mut Exchange, info: &SessionInfo, current: &str) -> Result<String> {
    let values: [(_, Value<'_>); 6] = [
        ("current", &current),
        ("device", &info.device.as_deref().unwrap_or(UNKNOWN)),
        ("ip", &info.last_ip),
        ("last_used", &ago(info.idle)),
        ("started", &ago(info.age)),
        ("key", &info.key),
    ];
    exchange.render_string("sessions-row.html", &values).await
}

/// Returns the client's `User-Agent`, cut at [`MAX_DEVICE_CHARS`], from which the user can
/// recognize the device. The client chooses the text, so nothing else may depend on it.
pub(crate) fn device(exchange: &Exchange) -> &str {
    let name = exchange.request().field("User-Agent").unwrap_or(UNKNOWN);
    let end = name.char_indices().nth(MAX_DEVICE_CHARS).map_or(name.len(), |(at, _)| at);
    &name[..end]
}

fn ago(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes {
        0 => String::from("just now"),
        1 => String::from("a minute ago"),
        2..120 => format!("{minutes} minutes ago"),
        120..2880 => format!("{} hours ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1440),
    }
}
