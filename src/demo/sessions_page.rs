//! The demo's page "your sessions": where one is logged in, and an end to it.

use std::time::Duration;

use dustdevil::session::id::Key;
use dustdevil::session::store::SessionInfo;
use dustdevil::{Error, Exchange, Method, RequestHandler, Result, SessionHandler, Status};

use super::credentials;

/// Letters of what a browser says of itself that are kept.
const DEVICE_LETTERS: usize = 200;

/// What keeps its name to itself.
const UNKNOWN: &str = "Unknown device";

/// Shows the sessions of whoever is logged in, and ends those that they no longer want.
pub(crate) struct SessionsHandler {
    base: SessionHandler,
}

impl RequestHandler for SessionsHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        let session = &self.base.session;
        let message = session.take_flash().await?.unwrap_or_default();
        let stylesheet = exchange.static_url("site.css").await?;
        let values = [
            ("username", &*username),
            ("message", &*message),
            ("stylesheet", &*stylesheet),
        ];
        let mut page = exchange.render_string("sessions-begin.html", &values).await?;
        let this = session.store_key().await?;
        for listed in session.sessions().await? {
            let which = if this == Some(listed.key) { "This session" } else { "" };
            page += &row(exchange, &listed, which).await?;
        }
        page += &exchange.render_string("sessions-end.html", &[]).await?;
        exchange.write(page)
    }

    /// Whoever found a browser open is not to lock its owner out: it takes the password.
    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        let password = exchange.get_body_argument_raw("password")?;
        let session = &self.base.session;
        if !credentials::authenticate(exchange, &username, &password)? {
            session.flash("Wrong password.").await?;
            return exchange.redirect("/sessions");
        }
        if exchange.get_body_argument("others").is_ok() {
            let ended = session.revoke_others().await?;
            session.flash(&format!("Signed out {ended} other sessions.")).await?;
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
    let (key, ip) = (info.key.to_string(), info.last_ip.to_string());
    let (last_used, started) = (ago(info.idle), ago(info.age));
    let values = [
        ("current", current),
        ("device", info.device.as_deref().unwrap_or(UNKNOWN)),
        ("ip", &ip),
        ("last_used", &last_used),
        ("started", &started),
        ("key", &key),
    ];
    exchange.render_string("sessions-row.html", &values).await
}

/// What a client says that it is, for its user to know it by.
pub(crate) fn device(exchange: &Exchange) -> &str {
    let name = exchange.request().field("User-Agent").unwrap_or(UNKNOWN);
    let end = name.char_indices().nth(DEVICE_LETTERS).map_or(name.len(), |(at, _)| at);
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
