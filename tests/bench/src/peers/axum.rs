//! axum, with tower-sessions and its store in memory.

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
use super::{Filling, Login};
use crate::Result;
use crate::fill::user;
use crate::server::page;

type Reply = std::result::Result<Response, StatusCode>;

#[tokio::main]
pub(super) async fn serve() -> Result {
    let store = MemoryStore::default();
    let sessions = SessionManagerLayer::new(store.clone())
        .with_name("session_id")
        .with_secure(false)
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(Duration::minutes(5)));
    let router = Router::new()
        .route("/page", get(show_page))
        .route("/main", get(show_main))
        .route("/login", get(show_login).post(log_in))
        .layer(sessions)
        .route("/hello", get(hello))
        .route("/fill", post(fill))
        .with_state(store);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::is_ready(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // Where it is not known, it is not needed.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn hello() -> Response {
    html(&pages::OPEN, pages::HELLO)
}

async fn show_page(session: Session) -> Reply {
    match session.get::<String>("username").await.map_err(failed)? {
        Some(username) => Ok(html(&pages::PAGE, page(&username))),
        None => Ok(redirect("/login")),
    }
}

async fn show_main(session: Session) -> Reply {
    let Some(username) = session.get::<String>("username").await.map_err(failed)? else {
        return Ok(redirect("/login"));
    };
    let visits = session.get("visits").await.map_err(failed)?.unwrap_or(0) + 1;
    session.insert("visits", visits).await.map_err(failed)?;
    Ok(html(&pages::NO_STORE_FIELDS, pages::main(&username, visits, pages::TOKEN)))
}

async fn show_login(cookies: Cookies) -> Response {
    if let Some(mark) = cookies.get("_xsrf") {
        return html(&pages::NO_STORE_FIELDS, pages::login(mark.value()));
    }
    let mark = Cookie::build(("_xsrf", pages::TOKEN)).path("/").http_only(true);
    cookies.add(mark.same_site(SameSite::Lax).build());
    html(&pages::NO_STORE_FIELDS, pages::login(pages::TOKEN))
}

async fn log_in(cookies: Cookies, session: Session, Form(login): Form<Login>) -> Reply {
    if !login.has_token(cookies.get("_xsrf").as_ref().map(Cookie::value)) {
        return Err(StatusCode::FORBIDDEN);
    }
    if !login.is_right() {
        return Ok(redirect("/login"));
    }
    session.cycle_id().await.map_err(failed)?;
    session.insert("username", login.username).await.map_err(failed)?;
    Ok(redirect("/main"))
}

async fn fill(State(store): State<MemoryStore>, Query(filling): Query<Filling>) -> Reply {
    let began = Instant::now();
    for number in filling.from..filling.from + filling.count {
        let data = HashMap::from([("username".to_owned(), user(number).into())]);
        let expiry_date = OffsetDateTime::now_utc() + Duration::WEEK;
        let record = Record { id: Id(number.into()), data, expiry_date };
        store.save(&record).await.map_err(failed)?;
    }
    Ok(html(&pages::OPEN, began.elapsed().as_secs_f64().to_string()))
}

fn html<const N: usize>(
    fields: &[Field; N],
    content: impl Into<axum::body::Body>,
) -> Response {
    (fields.clone(), [(CONTENT_TYPE, pages::HTML)], content.into()).into_response()
}

fn redirect(location: &'static str) -> Response {
    (StatusCode::FOUND, pages::NO_STORE_FIELDS.clone(), [(LOCATION, location)])
        .into_response()
}

fn failed<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
