//! axum with tower-sessions and its Redis store, `tower-sessions-redis-store`, as the store's
//! documentation shows it: a pool of six connections of the client fred.
//!
//! A session is one Redis string with all values, in the format `MessagePack`. The middleware reads it with
//! GET when a handler first uses it, and writes all of it with SET after the handler. By
//! default it writes only a session that was changed, so the idle timeout would pass while a
//! visitor only reads. `with_always_save` keeps the idle timeout on each request. Concurrent
//! requests of one session overwrite each other's changes (lost update).

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tower_sessions_14::cookie::SameSite;
use tower_sessions_14::cookie::time::Duration;
use tower_sessions_14::{Expiry, Session, SessionManagerLayer};
use tower_sessions_redis_store::RedisStore;
use tower_sessions_redis_store::fred::prelude::{ClientLike, Config, Pool};

use super::axum::{PageResult, html, internal_error};
use super::{UserQuery, pages};
use crate::Result;
use crate::redis_application::THEME;
use crate::server::page;

/// Number of connections to Redis in the documentation of the store.
const POOL_SIZE: usize = 6;

#[tokio::main]
pub(super) async fn serve(redis: &str) -> Result {
    let config = Config::from_url(&format!("redis://{redis}/"))?;
    let pool = Pool::new(config, None, None, None, POOL_SIZE)?;
    pool.connect();
    pool.wait_for_connect().await?;
    let sessions = SessionManagerLayer::new(RedisStore::new(pool))
        .with_name("session_id")
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(5)))
        .with_always_save(true);
    let router = Router::new()
        .route("/read", get(read))
        .route("/values", get(values))
        .route("/write", post(write))
        .route("/count", post(count))
        .route("/login", post(log_in))
        .layer(sessions);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce_address(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // Fails only on a connection that is closed already.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

/// wrk counts the status 401 as an error.
async fn read(session: Session) -> PageResult {
    let username = session.get::<String>("username").await.map_err(internal_error)?;
    Ok(text(page(&username.ok_or(StatusCode::UNAUTHORIZED)?)))
}

async fn values(session: Session) -> PageResult {
    let theme = session.get::<String>("theme").await.map_err(internal_error)?;
    let visits = session.get::<u64>("visits").await.map_err(internal_error)?;
    Ok(text(format!("{} {}", theme.unwrap_or_default(), visits.unwrap_or_default())))
}

async fn write(session: Session) -> PageResult {
    session.insert("theme", THEME).await.map_err(internal_error)?;
    Ok(text("saved"))
}

/// Two concurrent requests may read the same number, and then one update is lost.
async fn count(session: Session) -> PageResult {
    let visits = session.get("visits").await.map_err(internal_error)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(internal_error)?;
    Ok(text(visits.to_string()))
}

/// A new id at login prevents session fixation. `cycle_id` deletes the old key in Redis, also for
/// a session that is new.
async fn log_in(session: Session, Query(login): Query<UserQuery>) -> PageResult {
    session.cycle_id().await.map_err(internal_error)?;
    session.insert("username", &login.user).await.map_err(internal_error)?;
    Ok(text(login.user))
}

fn text(content: impl Into<axum::body::Body>) -> Response {
    html(&pages::PAGE_FIELDS, content)
}
