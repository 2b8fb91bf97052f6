//! The log: forged lines, secrets, and the security events.

use std::sync::{Arc, Mutex, Once};

use bytes::Bytes;
use dustdevil::http::content::Buffered;
use dustdevil::session::id::Id;
use dustdevil::session::login::revoke_all;
use dustdevil::session::{ClientUpdate, SessionConfig};
use dustdevil::{
    Application, Error, Exchange, HttpFile, MemoryStore, Method, RequestHandler, Result,
    Session, SetCookie, Settings, Status, escape, handler,
};
use log::{LevelFilter, Log, Metadata, Record};

use crate::support::{demo, demo_of, exchange, serve, settings, store};

/// The logger of all tests, which run concurrently in one process. Keeps the lines that contain
/// the marker of a listener.
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

/// Runs `work`, and returns the lines with `marker` that are logged in the meantime, also by
/// other tests. Two listeners with the same marker would mix their lines up.
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
    let index =
        listeners.iter().position(|(found, _)| *found == marker).expect("a listener");
    listeners.swap_remove(index).1
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
async fn client_input_forges_no_line() {
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
fn an_escaped_message_is_not_escaped_again() {
    let once = escape::log("a\\b\nc").to_string();
    assert_eq!(once, "a\\b\\nc");
    assert_eq!(escape::log(&once).to_string(), once);
}

#[tokio::test]
async fn debug_output_shows_no_secret() {
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
    // The output is still useful.
    for useful in ["Post", "/login", "Cookie", "Authorization", "200", "Location", "a.txt"]
    {
        assert!(shown.contains(useful), "{useful}: {shown}");
    }
}

/// Runs `work` and returns the security events that contain `marker`. The tests use a client
/// address or a user name that no other test uses.
async fn events(marker: &'static str, work: impl Future<Output = ()>) -> Vec<String> {
    let lines = lines_with(marker, work).await;
    let events = lines.iter().filter_map(|line| line.strip_prefix("dustdevil::security "));
    events.map(str::to_owned).collect()
}

/// The session of a client at `ip` that presents these ids.
fn session(store: &Arc<MemoryStore>, ip: &str, ids: &[Id]) -> Session {
    let config = SessionConfig { max_sessions_per_user: 2, ..SessionConfig::default() };
    Session::new(store.clone(), config, ip.parse().unwrap(), ids.iter().cloned())
}

async fn id(session: &Session) -> Id {
    match session.client_update().await.unwrap() {
        ClientUpdate::SendId { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

/// Creates a session from another address than those of the tests, and returns its id.
async fn new_id(store: &Arc<MemoryStore>, user: Option<&str>) -> Id {
    let session = session(store, "198.51.100.1", &[]);
    match user {
        Some(user) => session.log_in(user).await.unwrap(),
        None => session.set("cart", "tea").await.unwrap(),
    }
    id(&session).await
}

fn fingerprint(id: &Id) -> String {
    id.key().fingerprint()
}

#[tokio::test]
async fn creating_and_rotating_a_session_is_logged() {
    let (store, ip) = (store(), "192.0.2.101");
    let mut names = Vec::new();
    let events = events(ip, async {
        let session = session(&store, ip, &[]);
        session.set("cart", "tea").await.unwrap();
        names.push(fingerprint(&id(&session).await));
        session.rotate().await.unwrap();
        names.push(fingerprint(&id(&session).await));
    })
    .await;
    let created = format!("session_created session={} ip={ip}", names[0]);
    let rotated = format!("session_rotated from={} to={} ip={ip}", names[0], names[1]);
    assert_eq!(events, [created, rotated]);
}

#[tokio::test]
async fn a_logout_is_logged() {
    let (store, ip) = (store(), "192.0.2.102");
    let id = new_id(&store, None).await;
    let events = events(ip, async {
        session(&store, ip, std::slice::from_ref(&id)).destroy().await.unwrap();
    })
    .await;
    let session = fingerprint(&id);
    assert_eq!(
        events,
        [format!("session_expired reason=logout session={session} ip={ip}")]
    );
}

#[tokio::test]
async fn revoking_one_session_and_all_others_is_logged() {
    let (store, ip) = (store(), "192.0.2.103");
    for all_others in [false, true] {
        let other = new_id(&store, Some("ann")).await;
        let this = new_id(&store, Some("ann")).await;
        let events = events(ip, async {
            let session = session(&store, ip, &[this]);
            match all_others {
                true => assert_eq!(session.revoke_others().await.unwrap(), 1),
                false => assert!(session.revoke(other.key()).await.unwrap()),
            }
        })
        .await;
        let session = fingerprint(&other);
        let revoked = format!("session_expired reason=revoked session={session} ip={ip}");
        assert_eq!(events, [revoked], "all others: {all_others}");
    }
}

#[tokio::test]
async fn a_login_and_the_session_that_it_ends_are_logged() {
    let (store, ip) = (store(), "192.0.2.104");
    let oldest = new_id(&store, Some("bob")).await;
    new_id(&store, Some("bob")).await;
    let anonymous = new_id(&store, None).await;
    let mut new = String::new();
    let events = events(ip, async {
        let session = session(&store, ip, std::slice::from_ref(&anonymous));
        session.log_in("bob").await.unwrap();
        new = fingerprint(&id(&session).await);
    })
    .await;
    let (old, oldest) = (fingerprint(&anonymous), fingerprint(&oldest));
    let rotated = format!("session_rotated from={old} to={new} ip={ip}");
    let login = format!("authn_login_success user=\"bob\" session={new} ip={ip}");
    let expired = format!("session_expired reason=limit_per_user session={oldest} ip={ip}");
    assert_eq!(events, [rotated, login, expired]);
}

#[tokio::test]
async fn revoking_all_sessions_of_a_user_is_logged() {
    let store = store();
    let id = new_id(&store, Some("carol")).await;
    let events = events("reason=revoked_all", async {
        assert_eq!(revoke_all(&*store, "carol").await.unwrap(), 1);
    })
    .await;
    let line = format!("session_expired reason=revoked_all session={}", fingerprint(&id));
    assert!(events.contains(&line), "no {line:?} in {events:#?}");
}

#[tokio::test]
async fn unknown_and_ambiguous_ids_are_logged() {
    let (store, ip) = (store(), "192.0.2.105");
    let (first, second) = (new_id(&store, None).await, new_id(&store, None).await);
    let unknown = [Id::generate(), Id::generate()];
    let events = events(ip, async {
        session(&store, ip, &unknown).get("cart").await.unwrap();
        session(&store, ip, &[first.clone(), second.clone()]).get("cart").await.unwrap();
    })
    .await;
    let name = fingerprint(&unknown[0]);
    assert_eq!(events[0], format!("session_unknown session={name} count=2 ip={ip}"));
    let (first, second) = (fingerprint(&first), fingerprint(&second));
    let ambiguous = format!("session_ambiguous first={first} second={second} ip={ip}: ");
    assert!(events.len() == 2 && events[1].starts_with(&ambiguous), "{events:#?}");
}

#[tokio::test]
async fn failed_and_throttled_logins_are_logged_with_an_escaped_user_and_no_password() {
    let server = serve(demo()).await;
    let name = format!("mallory\" ip=10.0.0.1 {}", "x".repeat(1000));
    let form = [("username", &*name), ("password", "hunter2")];
    let events = events("mallory", async {
        for _ in 0..6 {
            server.visitor().fill("/login", "/login", &form).await;
        }
    })
    .await;
    let user = format!("{:?}", &name[..64]);
    let failed = format!("authn_login_fail user={user} ip=127.0.0.1");
    let throttled = format!("excess_rate_limit_exceeded user={user} ip=127.0.0.1");
    assert_eq!(events[..5], vec![failed; 5]);
    assert_eq!(events[5..], [throttled]);
}

#[tokio::test]
async fn failed_and_throttled_password_checks_of_the_sessions_page_are_logged() {
    let server = demo_of("warden").await;
    let mut visitor = server.visitor();
    let form = [("username", "warden"), ("password", "123")];
    visitor.fill("/login", "/login", &form).await;
    let form = [("others", "yes"), ("password", "hunter2")];
    let events = events("user=\"warden\"", async {
        for _ in 0..6 {
            visitor.fill("/sessions", "/sessions", &form).await;
        }
    })
    .await;
    let failed = "authn_login_fail user=\"warden\" ip=127.0.0.1";
    assert_eq!(events[..5], vec![failed; 5]);
    assert_eq!(events[5..], ["excess_rate_limit_exceeded user=\"warden\" ip=127.0.0.1"]);
}

#[tokio::test]
async fn the_access_log_has_the_path_and_not_the_query() {
    let server = serve(demo()).await;
    let lines = lines_with("/no-such-page", async {
        server.visitor().get("/no-such-page?password=hunter2").await;
    })
    .await;
    let logged = "dustdevil::access 404 GET /no-such-page (127.0.0.1) ";
    assert!(lines.iter().any(|line| line.starts_with(logged)), "{lines:?}");
    assert!(!lines.concat().contains("hunter2"), "{lines:?}");
}
