//! hyper, with its own HTTP/1 server. It has no sessions, so there is a map of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use super::pages::{self, Field};
use super::{Filling, Login, Sessions};
use crate::Result;
use crate::server::page;

type Reply = Response<Full<Bytes>>;

#[tokio::main]
pub(super) async fn serve() -> Result {
    let sessions = Arc::new(Sessions::default());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::is_ready(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move {
            let service =
                service_fn(move |request| respond(Arc::clone(&sessions), request));
            // Clients leave when they like. Of requests that come together, the answers leave so.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(sessions: Arc<Sessions>, request: Request<Incoming>) -> Result<Reply> {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/hello") => Ok(html(&pages::OPEN, pages::HELLO)),
        (&Method::GET, "/page") => Ok(show_page(&sessions, &request)),
        (&Method::GET, "/main") => Ok(show_main(&sessions, &request)),
        (&Method::GET, "/login") => show_login(&request),
        (&Method::POST, "/login") => log_in(&sessions, request).await,
        (&Method::POST, "/fill") => fill(&sessions, &request),
        _ => Ok(refuse(StatusCode::NOT_FOUND)),
    }
}

fn show_page(sessions: &Sessions, request: &Request<Incoming>) -> Reply {
    match cookie(request, "session_id").and_then(|id| sessions.username(id)) {
        Some(username) => html(&pages::PAGE, page(&username)),
        None => redirect("/login"),
    }
}

fn show_main(sessions: &Sessions, request: &Request<Incoming>) -> Reply {
    match cookie(request, "session_id").and_then(|id| sessions.visit(id)) {
        Some((username, visits)) => {
            html(&pages::NO_STORE_FIELDS, pages::main(&username, visits, pages::TOKEN))
        }
        None => redirect("/login"),
    }
}

fn show_login(request: &Request<Incoming>) -> Result<Reply> {
    let Some(mark) = cookie(request, "_xsrf") else {
        let mut answer = html(&pages::NO_STORE_FIELDS, pages::login(pages::TOKEN));
        set_cookie(&mut answer, "_xsrf", pages::TOKEN, pages::MARK_ATTRIBUTES)?;
        return Ok(answer);
    };
    Ok(html(&pages::NO_STORE_FIELDS, pages::login(mark)))
}

async fn log_in(sessions: &Sessions, request: Request<Incoming>) -> Result<Reply> {
    let mark = cookie(&request, "_xsrf").map(str::to_owned);
    let content = request.collect().await?.to_bytes();
    let mut form: HashMap<String, String> =
        form_urlencoded::parse(&content).into_owned().collect();
    let mut field = |name| form.remove(name).unwrap_or_default();
    let login = Login {
        username: field("username"),
        password: field("password"),
        token: field("_xsrf"),
    };
    if !login.has_token(mark.as_deref()) {
        return Ok(refuse(StatusCode::FORBIDDEN));
    }
    if !login.is_right() {
        return Ok(redirect("/login"));
    }
    let mut answer = redirect("/main");
    let id = sessions.begin(login.username);
    set_cookie(&mut answer, "session_id", &id, pages::SESSION_ATTRIBUTES)?;
    Ok(answer)
}

fn fill(sessions: &Sessions, request: &Request<Incoming>) -> Result<Reply> {
    let query = request.uri().query().unwrap_or_default();
    let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes()).collect();
    let number = |name: &str| query.get(name).ok_or("an argument is missing");
    let began = Instant::now();
    let filling =
        Filling { from: number("from")?.parse()?, count: number("count")?.parse()? };
    sessions.fill(&filling);
    Ok(html(&pages::OPEN, began.elapsed().as_secs_f64().to_string()))
}

fn cookie<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let cookies = request.headers().get(COOKIE)?.to_str().ok()?;
    let mut pairs = cookies.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
}

fn set_cookie(answer: &mut Reply, name: &str, value: &str, attributes: &str) -> Result {
    let cookie = HeaderValue::from_str(&format!("{name}={value}; {attributes}"))?;
    answer.headers_mut().insert(SET_COOKIE, cookie);
    Ok(())
}

fn html(fields: &[Field], content: impl Into<Bytes>) -> Reply {
    let mut answer = Response::new(Full::new(content.into()));
    answer.headers_mut().extend(fields.iter().cloned());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(pages::HTML));
    answer
}

fn redirect(location: &'static str) -> Reply {
    let mut answer = refuse(StatusCode::FOUND);
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
    answer
}

fn refuse(status: StatusCode) -> Reply {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer.headers_mut().extend(pages::NO_STORE_FIELDS.iter().cloned());
    answer
}
