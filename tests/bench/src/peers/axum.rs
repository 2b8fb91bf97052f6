//! axum with the middleware tower-sessions and its in-memory store: the usual way to have
//! sessions with axum. The middleware loads a session when a handler first uses it, as
//! Dustdevil does, and saves it after the handler if it was changed.

use std::collections::HashMap;
use std::time::Instant;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Form, Router};
use tokio::net::TcpListener;
use tower_cookies::{Cookie, Cookies};
use tower_sessions::cookie::SameSite;
use tower_sessions::cookie::time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer, SessionStore};

use super::pages::{self, Field};
use super::{Fill, Login};
use crate::Result;
use crate::fill::user;
use crate::server::page;

/// The error is the status of the response.
pub(super) type PageResult = std::result::Result<Response, StatusCode>;

#[tokio::main]
pub(super) async fn serve() -> Result {
    let store = MemoryStore::default();
    let sessions = SessionManagerLayer::new(store.clone())
        .with_name("session_id")
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(5)));
    // A layer applies to the routes before it, so `/hello` is served without a session.
    let router = Router::new()
        .route("/page", get(show_page))
        .route("/main", get(show_main))
        .route("/login", get(show_login).post(log_in))
        .layer(sessions)
        .route("/hello", get(hello))
        .route("/fill", post(fill))
        .with_state(store);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce_address(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // Fails only on a connection that is closed already.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn hello() -> Response {
    html(&pages::PUBLIC_FIELDS, pages::HELLO)
}

async fn show_page(session: Session) -> PageResult {
    match session.get::<String>("username").await.map_err(internal_error)? {
        Some(username) => Ok(html(&pages::PAGE_FIELDS, page(&username))),
        None => Ok(redirect("/login")),
    }
}

async fn show_main(session: Session) -> PageResult {
    let Some(username) = session.get::<String>("username").await.map_err(internal_error)?
    else {
        return Ok(redirect("/login"));
    };
    let visits = session.get("visits").await.map_err(internal_error)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(internal_error)?;
    Ok(html(&pages::NO_STORE_FIELDS, pages::main(&username, visits, pages::TOKEN)))
}

async fn show_login(cookies: Cookies) -> Response {
    if let Some(xsrf_cookie) = cookies.get("_xsrf") {
        return html(&pages::NO_STORE_FIELDS, pages::login(xsrf_cookie.value()));
    }
    let xsrf_cookie = Cookie::build(("_xsrf", pages::TOKEN)).path("/").http_only(true);
    cookies.add(xsrf_cookie.same_site(SameSite::Lax).build());
    html(&pages::NO_STORE_FIELDS, pages::login(pages::TOKEN))
}

async fn log_in(
    cookies: Cookies,
    session: Session,
    Form(login): Form<Login>,
) -> PageResult {
    if !login.has_token(cookies.get("_xsrf").as_ref().map(Cookie::value)) {
        return Err(StatusCode::FORBIDDEN);
    }
    if !login.is_valid() {
        return Ok(redirect("/login"));
    }
    // A new id at login prevents session fixation; Dustdevil does the same.
    session.cycle_id().await.map_err(internal_error)?;
    session.insert("username", login.username).await.map_err(internal_error)?;
    Ok(redirect("/main"))
}

/// Creates sessions in the store, as the middleware would save them.
async fn fill(State(store): State<MemoryStore>, Query(filling): Query<Fill>) -> PageResult {
    let began = Instant::now();
    for number in filling.from..filling.from + filling.count {
        let data = HashMap::from([("username".to_owned(), user(number).into())]);
        let expiry_date = OffsetDateTime::now_utc() + Duration::WEEK;
        let record = Record { id: Id(number.into()), data, expiry_date };
        store.save(&record).await.map_err(internal_error)?;
    }
    Ok(html(&pages::PUBLIC_FIELDS, began.elapsed().as_secs_f64().to_string()))
}

pub(super) fn html<const N: usize>(
    fields: &[Field; N],
    content: impl Into<axum::body::Body>,
) -> Response {
    (fields.clone(), [(CONTENT_TYPE, pages::HTML)], content.into()).into_response()
}

fn redirect(location: &'static str) -> Response {
    (StatusCode::FOUND, pages::NO_STORE_FIELDS.clone(), [(LOCATION, location)])
        .into_response()
}

pub(super) fn internal_error<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
