//! hyper's HTTP/1 connection, with routing by `match`. hyper has no sessions, no forms and no
//! cookies: sessions are in a map, and the rest is written here. It is the leanest of the
//! peers, so Dustdevil's goals for user time are ratios to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::pages::{self, Field};
use super::{Fill, Login, Sessions};
use crate::Result;
use crate::server::page;

type Response = hyper::Response<Full<Bytes>>;

#[tokio::main]
pub(super) async fn serve() -> Result {
    let sessions = Arc::new(Sessions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce_address(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move {
            let service =
                service_fn(move |request| respond(Arc::clone(&sessions), request));
            // The timer is for hyper's timeout of request heads, which Dustdevil has, too.
            // `pipeline_flush`: responses to pipelined requests are sent with one write, like
            // Dustdevil's. An error means that the client closed the connection.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Routes a request to its handler.
async fn respond(sessions: Arc<Sessions>, request: Request<Incoming>) -> Result<Response> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/hello") => Ok(html(&pages::PUBLIC_FIELDS, pages::HELLO)),
        (&Method::GET, "/page") => Ok(show_page(&sessions, &request)),
        (&Method::GET, "/main") => Ok(show_main(&sessions, &request)),
        (&Method::GET, "/login") => show_login(&request),
        (&Method::POST, "/login") => log_in(&sessions, request).await,
        (&Method::POST, "/fill") => fill(&sessions, &request),
        _ => Ok(empty_response(StatusCode::NOT_FOUND)),
    }
}

fn show_page(sessions: &Sessions, request: &Request<Incoming>) -> Response {
    match cookie(request, "session_id").and_then(|id| sessions.username(id)) {
        Some(username) => html(&pages::PAGE_FIELDS, page(&username)),
        None => redirect("/login"),
    }
}

fn show_main(sessions: &Sessions, request: &Request<Incoming>) -> Response {
    match cookie(request, "session_id").and_then(|id| sessions.visit(id)) {
        Some((username, visits)) => {
            html(&pages::NO_STORE_FIELDS, pages::main(&username, visits, pages::TOKEN))
        }
        None => redirect("/login"),
    }
}

fn show_login(request: &Request<Incoming>) -> Result<Response> {
    let Some(xsrf_cookie) = cookie(request, "_xsrf") else {
        let mut response = html(&pages::NO_STORE_FIELDS, pages::login(pages::TOKEN));
        set_cookie(&mut response, "_xsrf", pages::TOKEN, pages::XSRF_COOKIE_ATTRIBUTES)?;
        return Ok(response);
    };
    Ok(html(&pages::NO_STORE_FIELDS, pages::login(xsrf_cookie)))
}

/// Handles the login form: XSRF token, password, new session.
async fn log_in(sessions: &Sessions, request: Request<Incoming>) -> Result<Response> {
    let xsrf_cookie = cookie(&request, "_xsrf").map(str::to_owned);
    let content = request.collect().await?.to_bytes();
    let mut form: HashMap<String, String> =
        form_urlencoded::parse(&content).into_owned().collect();
    let mut field = |name| form.remove(name).unwrap_or_default();
    let login = Login {
        username: field("username"),
        password: field("password"),
        token: field("_xsrf"),
    };
    if !login.has_token(xsrf_cookie.as_deref()) {
        return Ok(empty_response(StatusCode::FORBIDDEN));
    }
    if !login.is_valid() {
        return Ok(redirect("/login"));
    }
    let mut response = redirect("/main");
    let id = sessions.create(login.username);
    set_cookie(&mut response, "session_id", &id, pages::SESSION_ATTRIBUTES)?;
    Ok(response)
}

fn fill(sessions: &Sessions, request: &Request<Incoming>) -> Result<Response> {
    let query = request.uri().query().unwrap_or_default();
    let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let number = |name: &str| query.get(name).ok_or("an argument is missing");
    let began = Instant::now();
    let filling = Fill { from: number("from")?.parse()?, count: number("count")?.parse()? };
    sessions.fill(&filling);
    Ok(html(&pages::PUBLIC_FIELDS, began.elapsed().as_secs_f64().to_string()))
}

/// Returns the value of the first cookie with this name (RFC 6265bis section 4.2.1).
fn cookie<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
}

fn set_cookie(
    response: &mut Response,
    name: &str,
    value: &str,
    attributes: &str,
) -> Result {
    let cookie = HeaderValue::from_str(&format!("{name}={value}; {attributes}"))?;
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(())
}

fn html(fields: &[Field], content: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(content.into()));
    response.headers_mut().extend(fields.iter().cloned());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(pages::HTML));
    response
}

fn redirect(location: &'static str) -> Response {
    let mut response = empty_response(StatusCode::FOUND);
    response.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    response
}

fn empty_response(status: StatusCode) -> Response {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().extend(pages::NO_STORE_FIELDS.iter().cloned());
    response
}
