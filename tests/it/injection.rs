//! Response splitting: a handler can put any text into a response, and the response stays a
//! single one with only the fields that the handler set.
//!
//! The types rule out most of it: a reason phrase belongs to its `Status`, the fields that
//! frame a response cannot be set, the names of an error's fields are constants, and only
//! [`Response`](dustdevil::http::response::Response) writes a head. The rest is tested here on
//! the wire, with arbitrary text.

use std::sync::Arc;

use dustdevil::http::connection;
use dustdevil::{
    Application, Error, Exchange, HttpError, Method, RequestHandler, Result, SetCookie,
    Status, escape, handler,
};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Builder;

use crate::support::{server_state, settings};

/// Puts the argument `text` into the part of the response that its path names. Text that cannot
/// be there is a 500 or a 400.
struct PuttingHandler;

impl RequestHandler for PuttingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let text = exchange.get_query_argument_raw("text")?;
        let conflict = |message: &str| HttpError::new(Status::CONFLICT, message.to_owned());
        match exchange.path_argument("part")? {
            "value" => exchange.set_header("Given", text)?,
            "name" => exchange.set_header(text, "given")?,
            "added" => exchange.add_header("Given", text)?,
            "cookie" => exchange.set_cookie(SetCookie::new("given", text))?,
            "cookie-name" => exchange.set_cookie(SetCookie::new(text, "given"))?,
            "path" => exchange.set_cookie(SetCookie::new("given", "a").path(text))?,
            "domain" => exchange.set_cookie(SetCookie::new("given", "a").domain(text))?,
            "location" => return exchange.redirect(&text),
            "escaped" => return exchange.redirect(&format!("/{}", escape::url(&text))),
            "message" => return Err(conflict(&text).into()),
            "error" => return Err(conflict("").with_header("Given", text).into()),
            other => return Err(Error::other(format!("no part {other}"))),
        }
        exchange.write("content")
    }
}

const PARTS: [&str; 11] = [
    "value",
    "name",
    "added",
    "cookie",
    "cookie-name",
    "path",
    "domain",
    "location",
    "escaped",
    "message",
    "error",
];

/// Returns the response with `text` in a part.
fn response(application: &Arc<Application>, part: &str, text: &str) -> String {
    let target = format!("/{part}?text={}", escape::url(text));
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, socket) = duplex(64 * 1024);
        client
            .write_all(request.as_bytes())
            .await
            .expect("the request fits into the buffer");
        client.shutdown().await.expect("an end");
        let peer = "127.0.0.1:50000".parse().expect("an address");
        let state = server_state(application);
        connection::serve(socket, Arc::clone(application), state.admit(peer)).await;
        let mut bytes = Vec::new();
        client.read_to_end(&mut bytes).await.expect("an response");
        String::from_utf8(bytes).expect("an response of text")
    })
}

/// Checks a response. `may_name` is a field whose name the handler may have set.
fn check(response: &str, may_name: Option<&str>) -> std::result::Result<(), String> {
    let (head, content) = response.split_once("\r\n\r\n").ok_or("no end of the head")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let statuses = [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 302 Found",
        "HTTP/1.1 400 Bad Request",
        "HTTP/1.1 409 Conflict",
        "HTTP/1.1 500 Internal Server Error",
    ];
    if !statuses.contains(&status) {
        return Err(format!("a status line {status:?}"));
    }
    let known = [
        "Date",
        "X-Content-Type-Options",
        "Referrer-Policy",
        "Content-Security-Policy",
        "Given",
        "Set-Cookie",
        "Location",
        "Content-Type",
        "Content-Length",
        "Connection",
    ];
    let mut names = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or("a line that is no field")?;
        if !known.contains(&name) && may_name != Some(name) {
            return Err(format!("a field {name:?}"));
        }
        if names.contains(&name) || value.contains(['\r', '\n', '\0']) {
            return Err(format!("{name}: {value:?}"));
        }
        if name == "Content-Length" && value != content.len().to_string() {
            return Err(format!("{value} bytes are announced, of {}", content.len()));
        }
        names.push(name);
    }
    let must = ["Date", "Content-Length", "Connection"];
    must.iter()
        .all(|name| names.contains(name))
        .then_some(())
        .ok_or("a field is missing".into())
}

/// Generates text that tries to split a response: line ends, whole fields, whole responses.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just(String::from("\r\n")),
        Just(String::from("\n")),
        Just(String::from("\r")),
        Just(String::from("\r\n\r\n")),
        Just(String::from("Injected: 1")),
        Just(String::from("\r\nSet-Cookie: injected=1")),
        Just(String::from("\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n")),
        Just(String::from("https://evil.example/")),
        "[ -~]{0,8}",
        "[\u{0}-\u{1f}\u{7f}-\u{ff}\u{2028}\u{560a}\u{560d}]{1,3}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_text_can_split_a_response(text in text()) {
        let routes = [("/{part}", handler::<PuttingHandler> as dustdevil::Handler)];
        let application =
            Arc::new(Application::new(routes, settings()).expect("an application"));
        for part in PARTS {
            let response = response(&application, part, &text);
            let may_name = (part == "name").then_some(text.as_str());
            let outcome = check(&response, may_name);
            prop_assert!(outcome.is_ok(), "{}: {:?}\n{}", part, outcome, response);
        }
    }
}
