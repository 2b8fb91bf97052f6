//! The Dustdevil application of the part `redis`: the pages that [`peers`](crate::peers) have,
//! too, with sessions in a [`RedisStore`]. All settings are the defaults. The idle timeout is 5
//! minutes, and the store records a use at most once per second, so a session may expire up to
//! one second before its idle timeout has passed.
//!
//! The benchmark's other application, [`server`](crate::server), has its sessions in memory.

use std::io::Read;
use std::sync::Arc;

use dustdevil::{
    Application, Error, Exchange, Method, RedisSettings, RedisStore, RequestHandler,
    SessionHandler, Settings, Status, handler,
};

use crate::server::page;

type HandlerResult<T = ()> = dustdevil::Result<T>;

/// The value that `/write` sets; all competitors use the same.
pub(crate) const THEME: &str = "dark";

/// Serves with the Redis at `redis` until standard input ends, which happens when the driver
/// exits.
#[tokio::main]
pub(crate) async fn serve(redis: &str) -> crate::Result {
    let urls = vec![format!("redis://{redis}/")];
    let store = RedisStore::new(RedisSettings { urls, ..RedisSettings::default() })?;
    let settings = Settings { session_store: Some(Arc::new(store)), ..Settings::default() };
    let application = Application::new(
        [
            ("/read", handler::<ReadHandler>),
            ("/values", handler::<ValuesHandler>),
            ("/write", handler::<WriteHandler>),
            ("/count", handler::<CountHandler>),
            ("/login", handler::<LoginHandler>),
        ],
        settings,
    )?;
    let server = application.listen("127.0.0.1:0").await?;
    println!("{}", server.local_addr()?);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    Ok(server.run().await?)
}

/// GET `/read`: the page for the logged-in user.
struct ReadHandler(SessionHandler);

impl RequestHandler for ReadHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self(SessionHandler::initialize(exchange).await?))
    }

    async fn get(&mut self, exchange: &mut Exchange) -> HandlerResult {
        // 401 instead of a redirect, because wrk counts it as an error.
        let user = self.0.current_user().await?;
        exchange.write(page(&user.ok_or_else(no_session)?))
    }
}

/// GET `/values`: the values that the other handlers have set, to check them.
struct ValuesHandler(SessionHandler);

impl RequestHandler for ValuesHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self(SessionHandler::initialize(exchange).await?))
    }

    async fn get(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let theme = self.0.session.get("theme").await?.unwrap_or_default();
        let visits = self.0.session.get("visits").await?.unwrap_or_else(|| "0".to_owned());
        exchange.write(format!("{theme} {visits}"))
    }
}

/// POST `/write`: sets one value. `set` does not have to read the session's other values,
/// because each value is a field of a Redis hash.
struct WriteHandler(SessionHandler);

impl RequestHandler for WriteHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(exchange: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self(SessionHandler::initialize(exchange).await?))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> HandlerResult {
        self.0.session.set("theme", THEME).await?;
        exchange.write("saved")
    }
}

/// POST `/count`: counts a visit, and responds with the number of visits. `increment` is atomic:
/// Redis adds the numbers, so concurrent requests lose no update.
struct CountHandler(SessionHandler);

impl RequestHandler for CountHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(exchange: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self(SessionHandler::initialize(exchange).await?))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let visits = self.0.session.increment("visits", 1).await?;
        exchange.write(visits.ok_or_else(no_session)?.to_string())
    }
}

/// POST `/login?user=NAME`: logs the user in, without a password. `log_in` creates a session or
/// rotates the id of the present one, adds it to the index of the user's sessions, and checks
/// how many the user has.
struct LoginHandler(SessionHandler);

impl RequestHandler for LoginHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(exchange: &mut Exchange) -> HandlerResult<Self> {
        Ok(Self(SessionHandler::initialize(exchange).await?))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> HandlerResult {
        let user = exchange.get_argument("user")?;
        self.0.session.log_in(&user).await?;
        exchange.write(user)
    }
}

/// Returns the error for a request without a live session.
fn no_session() -> Error {
    Error::http(Status::UNAUTHORIZED, "there is no session")
}
