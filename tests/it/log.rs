//! What is logged, and what is not: no line that a client wrote, and no secret.

use std::sync::{Mutex, Once};

use bytes::Bytes;
use dustdevil::http::content::Buffered;
use dustdevil::{
    Application, Error, Exchange, HttpFile, Method, RequestHandler, Result, SetCookie,
    Settings, Status, escape, handler,
};
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{exchange, settings};

/// Keeps the lines that somebody listens for. The tests run at the same time, and share one logger.
struct Lines;

static LISTENERS: Mutex<Vec<(&str, Vec<String>)>> = Mutex::new(Vec::new());

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("dustdevil")
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.target(), record.args());
        for (marker, lines) in &mut *LISTENERS.lock().unwrap() {
            if line.contains(*marker) {
                lines.push(line.clone());
            }
        }
    }

    fn flush(&self) {}
}

/// Runs `work`, and returns what is logged meanwhile with `marker` in it.
pub async fn lines_with(
    marker: &'static str,
    work: impl Future<Output = ()>,
) -> Vec<String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&Lines).expect("the only logger");
        log::set_max_level(LevelFilter::Info);
    });
    LISTENERS.lock().unwrap().push((marker, Vec::new()));
    work.await;
    let mut listeners = LISTENERS.lock().unwrap();
    let place =
        listeners.iter().position(|(found, _)| *found == marker).expect("a listener");
    listeners.swap_remove(place).1
}

/// Fails with a message that quotes what the client has sent.
struct QuotingHandler;

impl RequestHandler for QuotingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let text = exchange.get_query_argument_raw("text")?;
        match exchange.request().path() {
            "/refused" => {
                Err(Error::http(Status::BAD_REQUEST, format!("not this: {text}")))
            }
            _ => Err(Error::other(format!("not this: {text}"))),
        }
    }
}

#[tokio::test]
async fn what_a_client_sends_forges_no_line() {
    let routes = ["/refused", "/failed"]
        .map(|path| (path, handler::<QuotingHandler> as dustdevil::Handler));
    let application = Application::new(routes, settings()).unwrap();
    let forged = "quoted\r\n[I today] 200 GET /admin (10.0.0.1) 0.10ms\x1b[2J\u{9b}2J";
    for path in ["/refused", "/failed"] {
        let line = format!("GET {path}?text={}", escape::url(forged));
        let lines = lines_with("quoted", async {
            let exchange = exchange(&application, &line);
            let mut content = Buffered(Bytes::new());
            handler::<QuotingHandler>(Box::new(exchange), &mut content).await;
        })
        .await;
        let [line] = &lines[..] else { panic!("not one line: {lines:?}") };
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("quoted\\r\\n[I today] 200 GET /admin"), "{line}");
    }
}

#[test]
fn a_message_that_was_escaped_before_is_not_escaped_again() {
    let once = escape::log("a\\b\nc").to_string();
    assert_eq!(once, "a\\b\\nc");
    assert_eq!(escape::log(&once).to_string(), once);
}

#[tokio::test]
async fn nothing_secret_is_shown_for_debugging() {
    const SECRETS: [&str; 6] =
        ["biscuit", "token", "password", "session", "basic", "query"];
    let secret = |kind: &str| format!("{kind}-is-secret");
    let settings =
        Settings { cookie_secret: secret("biscuit").repeat(3).into_bytes(), ..settings() };
    let shown = format!("{settings:?}");
    let application = Application::new([], settings).unwrap();
    let mut exchange = exchange(
        &application,
        &format!(
            "POST /login?next={}\nCookie: session_id={}; a={}\nAuthorization: Basic {}\n\
             X-XSRFToken: {}\nContent-Type: application/x-www-form-urlencoded",
            secret("query"),
            secret("session"),
            secret("biscuit"),
            secret("basic"),
            secret("token"),
        ),
    );
    let form = format!("username=admin&password={}", secret("password"));
    exchange.set_content(Bytes::from(form)).unwrap();
    exchange.set_header("Location", format!("/?code={}", secret("token"))).unwrap();
    exchange.write(secret("token")).unwrap();
    let cookie = SetCookie::new("session_id", secret("session"));
    let file = HttpFile {
        name: String::from("file"),
        filename: String::from("a.txt"),
        content_type: String::from("text/plain"),
        body: Bytes::from(secret("password")),
    };
    let shown = format!(
        "{shown} {exchange:?} {:?} {:?} {cookie:?} {file:?}",
        exchange.request(),
        exchange.response(),
    );
    for kind in SECRETS {
        let secret = secret(kind);
        let bytes = format!("{:?}", secret.as_bytes());
        assert!(!shown.contains(&secret), "{kind}: {shown}");
        assert!(!shown.contains(bytes.trim_matches(['[', ']'])), "{kind}: {shown}");
    }
    // It is of use all the same.
    for of_use in ["Post", "/login", "Cookie", "Authorization", "200", "Location", "a.txt"]
    {
        assert!(shown.contains(of_use), "{of_use}: {shown}");
    }
}
