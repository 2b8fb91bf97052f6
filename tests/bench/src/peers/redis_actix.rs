//! actix-web with actix-session and its Redis store, with the settings that its documentation
//! shows, and one connection of the redis crate.
//!
//! A session is one Redis string with all values, in JSON. The middleware reads it with GET
//! before each handler. After the handler it writes a changed session with SET; otherwise it
//! moves its expiry with EXPIRE, because of `OnEveryRequest`, without which the idle timeout
//! would pass while a visitor only reads. Concurrent requests of one session overwrite each
//! other's changes (lost update).

use std::thread::available_parallelism;

use actix_session::config::{PersistentSession, TtlExtensionPolicy};
use actix_session::storage::RedisSessionStore;
use actix_session::{Session, SessionMiddleware};
use actix_web::cookie::{Key, time};
use actix_web::error::ErrorUnauthorized;
use actix_web::web::{Query, get, post, resource};
use actix_web::{App, HttpResponse, HttpServer};

use super::actix::{fields, html};
use super::{UserQuery, pages};
use crate::Result;
use crate::redis_application::THEME;
use crate::server::page;

type PageResult = actix_web::Result<HttpResponse>;

#[actix_web::main]
pub(super) async fn serve(redis: &str) -> Result {
    let store = RedisSessionStore::new(format!("redis://{redis}/")).await?;
    // The key with which the session cookie is encrypted.
    let key = Key::generate();
    let application = move || {
        let lifecycle = PersistentSession::default()
            .session_ttl(time::Duration::minutes(5))
            .session_ttl_extension_policy(TtlExtensionPolicy::OnEveryRequest);
        let sessions = SessionMiddleware::builder(store.clone(), key.clone())
            .cookie_name("session_id".to_owned())
            .cookie_secure(false)
            .session_lifecycle(lifecycle)
            .build();
        App::new()
            .wrap(sessions)
            .wrap(fields(&pages::PAGE_FIELDS))
            .service(resource("/read").route(get().to(read)))
            .service(resource("/values").route(get().to(values)))
            .service(resource("/write").route(post().to(write)))
            .service(resource("/count").route(post().to(count)))
            .service(resource("/login").route(post().to(log_in)))
    };
    let server = HttpServer::new(application)
        .workers(available_parallelism()?.get())
        .tcp_nodelay(true)
        .bind("127.0.0.1:0")?;
    super::announce_address(*server.addrs().first().ok_or("actix has no address")?);
    Ok(server.run().await?)
}

/// wrk counts the status 401 as an error.
async fn read(session: Session) -> PageResult {
    let username = session.get::<String>("username")?;
    let username = username.ok_or_else(|| ErrorUnauthorized("there is no session"))?;
    Ok(html(page(&username)))
}

async fn values(session: Session) -> PageResult {
    let theme = session.get::<String>("theme")?.unwrap_or_default();
    let visits = session.get::<u64>("visits")?.unwrap_or_default();
    Ok(html(format!("{theme} {visits}")))
}

async fn write(session: Session) -> PageResult {
    session.insert("theme", THEME)?;
    Ok(html("saved"))
}

/// Two concurrent requests may read the same number, and then one update is lost.
async fn count(session: Session) -> PageResult {
    let visits = session.get::<u64>("visits")?.unwrap_or_default() + 1;
    session.insert("visits", visits)?;
    Ok(html(visits.to_string()))
}

/// A new id at login prevents session fixation: the middleware deletes the old key, if any, and
/// saves the session under a new one.
async fn log_in(session: Session, login: Query<UserQuery>) -> PageResult {
    session.renew();
    session.insert("username", &login.user)?;
    Ok(html(login.into_inner().user))
}
