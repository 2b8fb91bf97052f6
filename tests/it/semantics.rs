//! The fields of every response, whatever its status (RFC 9110 sections 6, 8, 9, 10 and 15).

use std::time::{Duration, SystemTime};

use dustdevil::http::date;
use dustdevil::http::response::Response;
use dustdevil::{
    Application, Error, Exchange, HttpError, Method, RequestHandler, Result, Status,
    handler,
};

use crate::resources::settings_with_files;
use crate::support::{Reply, Running, serve, settings};
use crate::transcripts;

/// A request for each status that the library produces by itself, and that status.
const REQUESTS: [(&str, u16); 20] = [
    ("GET /hello", 200),
    ("GET /static/digits.txt", 200),
    ("GET /stream", 200),
    ("PUT /note", 204),
    ("OPTIONS /hello", 204),
    ("GET /static/digits.txt\nRange: bytes=0-3", 206),
    ("GET /elsewhere", 302),
    ("POST /elsewhere", 303),
    ("GET /static/digits.txt\nIf-None-Match: *", 304),
    ("PUT /elsewhere", 308),
    ("GET /echo/%ff", 400),
    ("GET /hello\nHost: again", 400),
    ("GET /nowhere", 404),
    ("DELETE /hello", 405),
    ("GET /visits?fail", 409),
    ("GET /static/digits.txt\nIf-Match: \"dust\"", 412),
    ("POST /echo\nContent-Length: 9999999", 413),
    ("GET /static/digits.txt\nRange: bytes=10-", 416),
    ("GET /hello\nExpect: dust", 417),
    ("BREW /hello", 501),
];

async fn serving(name: &str) -> Running {
    serve(transcripts::application(settings_with_files(name))).await
}

async fn ask(server: &Running, lines: &str) -> Reply {
    server.connect().await.ask(lines).await
}

#[tokio::test]
async fn every_response_has_one_date_and_it_is_now() {
    let server = serving("dates").await;
    for (lines, status) in REQUESTS.into_iter().chain([("GET /panic", 500)]) {
        let before = SystemTime::now() - Duration::from_secs(1);
        let reply = ask(&server, lines).await;
        assert_eq!(reply.status, status, "{lines}");
        let dates: Vec<&str> = reply.fields_named("Date").collect();
        let [text] = dates[..] else { panic!("{lines}: {dates:?}") };
        let time = date::parse(text).unwrap();
        assert_eq!(date::format(time), text, "{lines}: the one format that is written");
        assert!(before < time && time <= SystemTime::now(), "{lines}: {text}");
    }
    let mut client = server.connect().await;
    client.send("GET /hello HTTP/2.0\r\nHost: a\r\n\r\n").await;
    let reply = client.receive().await;
    assert_eq!(reply.status, 505);
    assert!(reply.field("Date").is_some() && reply.text().contains("HTTP/1.1"));
}

#[tokio::test]
async fn content_has_a_type_and_is_never_encoded() {
    let server = serving("content").await;
    let accepts =
        "Accept-Encoding: gzip, deflate, br, zstd\nAccept-Language: de\nAccept: image/png";
    for (lines, status) in REQUESTS {
        let reply = ask(&server, &format!("{lines}\n{accepts}")).await;
        assert_eq!(reply.status, status, "{lines}");
        for name in ["Content-Encoding", "Content-Language", "Content-Location", "Trailer"]
        {
            assert_eq!(reply.field(name), None, "{lines}");
        }
        let has_type = reply.field("Content-Type").is_some();
        // A stream has the type that its handler sets; this handler sets none.
        if lines != "GET /stream" {
            assert_eq!(has_type, !reply.content.is_empty(), "{lines}");
        }
        if matches!(status, 204 | 304) {
            assert_eq!(reply.field("Content-Length"), None, "{lines}");
            assert_eq!(reply.field("Transfer-Encoding"), None, "{lines}");
        }
    }
}

#[tokio::test]
async fn what_is_not_negotiated_does_not_vary() {
    let server = serving("vary").await;
    for target in ["/hello", "/static/digits.txt", "/nowhere", "/note"] {
        let plain = ask(&server, &format!("GET {target}")).await;
        let lines =
            format!("GET {target}\nAccept-Encoding: gzip\nCookie: a=b\nAccept: text/plain");
        let other = ask(&server, &lines).await;
        assert_eq!(plain.content, other.content, "{target}");
        assert_eq!((plain.field("Vary"), other.field("Vary")), (None, None), "{target}");
    }
    let reply = ask(&server, "GET /visits").await;
    assert_eq!(reply.field("Vary"), Some("Cookie"));
}

#[tokio::test]
async fn a_singleton_field_is_sent_once() {
    let server = serving("once").await;
    for (lines, _) in REQUESTS {
        let reply = ask(&server, lines).await;
        let mut names: Vec<String> =
            reply.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "{lines}: {:?}", reply.fields);
    }
}

/// RFC 9110 section 9.3.2: HEAD is GET without content, also for errors.
#[tokio::test]
async fn head_has_the_fields_of_get_for_every_status() {
    let server = serving("heads").await;
    let mut client = server.connect().await;
    for target in [
        "/hello",
        "/stream",
        "/echo/%ff",
        "/nowhere",
        "/elsewhere",
        "/note",
        "/static/digits.txt",
        "/static/empty.txt",
        "/static/nothing.txt",
        "/static/digits.txt\nIf-Match: \"dust\"",
        "/static/digits.txt\nIf-None-Match: *",
        "/static/digits.txt\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    ] {
        let get = client.ask(&format!("GET {target}")).await;
        let head = client.ask(&format!("HEAD {target}")).await;
        assert_eq!(get.status, head.status, "{target}");
        let but_the_date = |reply: &Reply| {
            let fields = reply.fields.iter().filter(|(name, _)| name != "Date");
            fields.cloned().collect::<Vec<_>>()
        };
        assert_eq!(but_the_date(&get), but_the_date(&head), "{target}");
    }
}

#[tokio::test]
async fn the_methods_in_allow_are_the_supported_ones() {
    let server = serving("allowed").await;
    let mut client = server.connect().await;
    for target in
        ["/hello", "/echo", "/note", "/elsewhere", "/visits", "/static/digits.txt"]
    {
        let options = client.ask(&format!("OPTIONS {target}")).await;
        let allow = options.field("Allow").unwrap().to_owned();
        let listed: Vec<&str> = allow.split(", ").collect();
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let reply = client.ask(&format!("{method} {target}")).await;
            assert_eq!(reply.status != 405, listed.contains(&method), "{method} {target}");
            if reply.status == 405 {
                assert_eq!(reply.field("Allow"), Some(allow.as_str()), "{method} {target}");
            }
        }
        assert!(listed.iter().all(|method| !method.is_empty()), "{allow}");
        assert!(listed.contains(&"HEAD") && listed.contains(&"OPTIONS"), "{allow}");
    }
}

/// Responds with 401 or 503.
struct ClosedHandler;

impl RequestHandler for ClosedHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let error = match exchange.request().path() {
            "/unauthorized" => HttpError::new(Status::UNAUTHORIZED, "Please log in.")
                .with_header("WWW-Authenticate", "Basic realm=\"dust\", charset=\"UTF-8\""),
            _ => HttpError::new(Status::SERVICE_UNAVAILABLE, "Come back later.")
                .with_header("Retry-After", "120"),
        };
        Err(Error::from(error))
    }
}

#[tokio::test]
async fn an_error_has_the_fields_that_help_and_a_message() {
    let routes = ["/unauthorized", "/later"]
        .map(|path| (path, handler::<ClosedHandler> as dustdevil::Handler));
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    for (path, status, name, value, message) in [
        (
            "/unauthorized",
            401,
            "WWW-Authenticate",
            "Basic realm=\"dust\", charset=\"UTF-8\"",
            "Please log in.",
        ),
        ("/later", 503, "Retry-After", "120", "Come back later."),
    ] {
        let reply = ask(&server, &format!("GET {path}")).await;
        assert_eq!((reply.status, reply.field(name)), (status, Some(value)));
        assert!(reply.text().contains(message), "{}", reply.text());
    }
}

#[tokio::test]
async fn every_error_has_a_message_except_for_head() {
    let server = serving("errors").await;
    for (lines, status) in REQUESTS.into_iter().filter(|(_, status)| *status >= 400) {
        let reply = ask(&server, lines).await;
        assert!(reply.text().contains(&status.to_string()), "{lines}: {}", reply.text());
        assert!(reply.text().contains(&reply.reason), "{lines}: {}", reply.text());
    }
    for target in ["/nowhere", "/echo/%ff", "/panic"] {
        let mut client = server.connect().await;
        client
            .send(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
            .await;
        let head = client.receive_head().await;
        assert!(
            head.status >= 400 && head.field("Content-Length") != Some("0"),
            "{target}"
        );
        assert!(client.is_closed().await, "{target}");
    }
}

/// Without a `Server` field, a scanner learns less about which exploits to try.
#[tokio::test]
async fn no_response_names_the_server_software() {
    let server = serving("server").await;
    for (lines, _) in REQUESTS {
        let reply = ask(&server, lines).await;
        for name in ["Server", "X-Powered-By", "Via"] {
            assert_eq!(reply.field(name), None, "{lines}");
        }
    }
}

/// Responds with the status in its path, and writes content all the same.
struct StatusHandler;

impl RequestHandler for StatusHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let code = exchange.path_argument("code")?.parse().expect("a code");
        let status = Status::new(code).expect("a status");
        if code >= 400 {
            return exchange.send_error(status);
        }
        exchange.set_status(status);
        exchange.write("written")
    }
}

async fn reply_with(code: u16) -> Reply {
    let routes = [("/{code}", handler::<StatusHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    server.connect().await.ask(&format!("GET /{code}")).await
}

#[tokio::test]
async fn statuses_without_content_never_send_any() {
    for (code, length) in [(204, None), (205, Some("0")), (304, None)] {
        let reply = reply_with(code).await;
        assert_eq!(reply.status, code);
        assert_eq!(reply.field("Content-Length"), length, "{code}");
        assert_eq!(reply.field("Content-Type"), None, "{code}");
        assert!(reply.content.is_empty(), "{code}");
    }
    assert_eq!(reply_with(299).await.text(), "written");
}

#[tokio::test]
async fn a_405_from_a_handler_has_an_allow_field() {
    assert_eq!(reply_with(405).await.field("Allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn a_singleton_field_cannot_be_added_twice() {
    let mut response = Response::new(Status::OK);
    for name in ["Location", "content-type", "ETag"] {
        response.add_field(name, "once").unwrap();
        assert!(response.add_field(name, "twice").is_err(), "{name}");
        response.set_field(name, "instead").unwrap();
        assert_eq!(response.field(name), Some("instead"));
    }
    response.add_field("Vary", "Accept").unwrap();
    response.add_field("Vary", "Cookie").unwrap();
    assert_eq!(response.fields().count(), 5);
}
