//! Sessions in handlers and browsers, over real sockets.
//!
//! Most tests use the application of `session_app`, in which the path names a session
//! operation. The tests of concurrency hold several [`Session`] handles to one session instead:
//! each stands for a request, and the test decides the order in which they act.

use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::SessionConfig;
use dustdevil::session::id::Id;
use dustdevil::{
    Application, Exchange, Lifetime, MemoryStore, Method, RequestHandler, Result, Session,
    SessionHandler, Settings, Store, handler,
};
use tokio::time::advance;

use crate::session_app;
use crate::support::{CLIENT_IP, Running, SlowStore, Visitor, serve, store, yields};

async fn session_server(store: Arc<MemoryStore>) -> Running {
    session_server_with(store, Settings::default()).await
}

async fn session_server_with(store: Arc<MemoryStore>, settings: Settings) -> Running {
    serve(session_app::application(store, settings)).await
}

async fn text(visitor: &mut Visitor, target: &str) -> String {
    let reply = visitor.get(target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.text()
}

#[tokio::test]
async fn nothing_exists_before_the_first_write() {
    let store = store();
    let server = session_server(Arc::clone(&store)).await;
    for what in ["/get", "/keys", "/contains", "/remove", "/clear", "/rotate", "/flashed"] {
        let reply = server.visitor().get(&format!("{what}?name=a")).await;
        assert_eq!((reply.status, reply.field("Set-Cookie")), (200, None), "{what}");
        assert_eq!(reply.field("Cache-Control"), Some("no-store"), "{what}: it was asked");
    }
    assert!(store.is_empty());
    let mut visitor = server.visitor();
    let reply = visitor.get("/set?name=a&value=1").await;
    assert!(reply.cookie("session_id").is_some());
    assert_eq!(store.len(), 1);
}

/// Lazy creation: reading must not fill the store, because crawlers and health checks only
/// read.
#[tokio::test]
async fn five_hundred_read_only_visitors_create_no_session() {
    let store = store();
    let server = session_server(Arc::clone(&store)).await;
    let mut client = server.connect().await;
    for _ in 0..500 {
        assert_eq!(client.ask("GET /get?name=a").await.text(), "(none)");
    }
    assert!(store.is_empty());
}

#[tokio::test]
async fn a_session_has_every_operation_that_a_map_has() {
    let server = session_server(store()).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=a&value=1").await;
    text(visitor, "/set?name=b&value=x").await;
    assert_eq!(text(visitor, "/get?name=a").await, "1");
    assert_eq!(text(visitor, "/get?name=c").await, "(none)");
    assert_eq!(text(visitor, "/contains?name=a").await, "true");
    assert_eq!(text(visitor, "/keys").await, "a,b");
    assert_eq!(text(visitor, "/number?name=a").await, "1");
    assert_eq!(text(visitor, "/count?name=a").await, "2");
    assert_eq!(text(visitor, "/count?name=new").await, "1");
    assert_eq!(text(visitor, "/remove?name=b").await, "x");
    assert_eq!(text(visitor, "/remove?name=b").await, "");
    text(visitor, "/clear").await;
    assert_eq!(text(visitor, "/keys").await, "");
}

#[tokio::test]
async fn a_value_of_another_type_is_an_error_and_not_zero() {
    let server = session_server(store()).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=a&value=many").await;
    assert_eq!(visitor.get("/number?name=a").await.status, 500);
    assert_eq!(visitor.get("/count?name=a").await.status, 500);
    assert_eq!(text(visitor, "/get?name=a").await, "many");
}

#[tokio::test]
async fn a_flash_message_is_shown_once() {
    let server = session_server(store()).await;
    let visitor = &mut server.visitor();
    text(visitor, "/flash?value=wrong").await;
    assert_eq!(text(visitor, "/flashed").await, "wrong");
    assert_eq!(text(visitor, "/flashed").await, "");
}

/// Session fixation (OWASP): if the server adopted an id that the client has chosen, an
/// attacker could plant one in a victim's browser and share the victim's session.
#[tokio::test]
async fn an_id_that_was_not_issued_is_not_adopted() {
    let store = store();
    let server = session_server(Arc::clone(&store)).await;
    let chosen = "0123456789abcdef0123456789abcdef";
    let mut visitor = server.visitor();
    visitor.cookies.insert("session_id".into(), chosen.into());
    let reply = visitor.get("/set?name=a&value=1").await;
    let issued = reply.cookie("session_id").unwrap().to_owned();
    assert_ne!(issued, chosen);
    assert!(store.get(Id::parse(chosen).unwrap().key(), "a").await.unwrap().is_none());
    assert!(store.get(Id::parse(&issued).unwrap().key(), "a").await.unwrap().is_some());
}

/// Cookie tossing: a sibling domain can plant a cookie of the same name, in front of the
/// genuine one or after it. An id that is not live must not hide the one that is.
#[tokio::test]
async fn of_several_session_cookies_the_live_one_counts() {
    let server = session_server(store()).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=a&value=mine").await;
    let id = visitor.cookies["session_id"].clone();
    let planted = "0123456789abcdef0123456789abcdef";
    let mut client = server.connect().await;
    for cookies in [
        format!("session_id={planted}; session_id={id}"),
        format!("session_id={id}; session_id={planted}"),
        format!("session_id=; session_id=\"{id}\"; session_id"),
        format!("other=1;;; =; session_id={id}"),
    ] {
        let reply = client.ask(&format!("GET /get?name=a\nCookie: {cookies}")).await;
        assert_eq!(reply.text(), "mine", "{cookies}");
        let two_lines = cookies.replace("; ", "\nCookie: ");
        let reply = client.ask(&format!("GET /get?name=a\nCookie: {two_lines}")).await;
        assert_eq!(reply.text(), "mine", "{two_lines}");
    }
}

#[tokio::test]
async fn malformed_cookies_are_ignored() {
    let server = session_server(store()).await;
    let mut client = server.connect().await;
    let long = "x".repeat(4000);
    for cookies in
        ["", ";", "=", "session_id", "session_id=", "session_id=zz", "a=b;=c", &long]
    {
        let reply = client.ask(&format!("GET /get?name=a\nCookie: {cookies}")).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "(none)"), "{cookies}");
    }
    client
        .send(b"GET /get?name=a HTTP/1.1\r\nHost: a\r\nCookie: session_id=\xff\xfe\r\n\r\n")
        .await;
    assert_eq!(client.receive().await.text(), "(none)");
}

#[tokio::test]
async fn the_sessions_cookie_is_safe_by_default() {
    let server = session_server(store()).await;
    let reply = server.visitor().get("/set?name=a&value=1").await;
    let line = reply.cookie_line("session_id").unwrap();
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=330"] {
        assert!(line.contains(attribute), "{line}");
    }
    assert!(!line.contains("Secure") && !line.contains("Domain"), "{line}");
}

#[tokio::test]
async fn max_age_and_expires_of_a_cookie_agree() {
    let server = session_server(store()).await;
    let reply = server.visitor().get("/set?name=a&value=1").await;
    let line = reply.cookie_line("session_id").unwrap();
    let attribute = |name: &str| {
        let found = line.split("; ").find_map(|part| part.strip_prefix(name));
        found.unwrap().to_owned()
    };
    let max_age: u64 = attribute("Max-Age=").parse().unwrap();
    let expires = dustdevil::http::date::parse(&attribute("Expires=")).unwrap();
    let date = dustdevil::http::date::parse(reply.field("Date").unwrap()).unwrap();
    let difference = expires.duration_since(date).unwrap().as_secs();
    assert!(difference.abs_diff(max_age) <= 1, "{line}");
}

/// The `__Host-` prefix (RFC 6265bis section 4.1.3.2): a browser accepts such a cookie only
/// over https, for this host alone, so a sibling domain cannot plant one.
#[tokio::test]
async fn over_https_the_cookie_is_secure_and_bound_to_its_host() {
    let settings =
        Settings { trusted_proxies: vec![[127, 0, 0, 1].into()], ..Settings::default() };
    let server = session_server_with(store(), settings).await;
    let visitor = &mut server.visitor();
    let https = "X-Forwarded-Proto: https";
    let reply = visitor.request(&format!("GET /set?name=a&value=1\n{https}"), "").await;
    let line = reply.cookie_line("__Host-session_id").unwrap();
    assert!(line.contains("; Secure") && line.contains("; Path=/"), "{line}");
    let reply = visitor.request(&format!("GET /get?name=a\n{https}"), "").await;
    assert_eq!(reply.text(), "1");
    let id = visitor.cookies["__Host-session_id"].clone();
    let mut planted = server.visitor();
    planted.cookies.insert("session_id".into(), id);
    let reply = planted.request(&format!("GET /get?name=a\n{https}"), "").await;
    assert_eq!(
        reply.text(),
        "(none)",
        "a name that any sibling domain may set is not read"
    );

    let server = session_server(store()).await;
    let reply =
        server.visitor().request(&format!("GET /set?name=a&value=1\n{https}"), "").await;
    assert!(reply.cookie("session_id").is_some(), "this proxy is not trusted");
}

/// Sliding expiration: the store extends the session at each use, but the cookie's `Max-Age` is
/// only extended once per tenth of the idle timeout.
#[tokio::test(start_paused = true)]
async fn the_cookie_is_renewed_once_per_renew_interval() {
    let server = session_server(store()).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=a&value=1").await;
    assert_eq!(visitor.get("/get?name=a").await.cookie("session_id"), None);
    assert_eq!(visitor.get("/set?name=a&value=2").await.cookie("session_id"), None);
    advance(Duration::from_secs(31)).await;
    let id = visitor.cookies["session_id"].clone();
    assert_eq!(visitor.get("/get?name=a").await.cookie("session_id"), Some(id.as_str()));
    assert_eq!(visitor.get("/get?name=a").await.cookie("session_id"), None);
}

#[tokio::test(start_paused = true)]
async fn an_old_cookie_finds_nothing_after_the_session_has_expired() {
    let store = store();
    let server = session_server(Arc::clone(&store)).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=a&value=1").await;
    advance(Duration::from_secs(330)).await;
    let reply = visitor.get("/get?name=a").await;
    assert_eq!((reply.text().as_str(), reply.field("Set-Cookie")), ("(none)", None));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(store.is_empty(), "and the server has swept it without being asked");
}

#[tokio::test(start_paused = true)]
async fn the_lifetime_is_a_setting() {
    let session_lifetime =
        Lifetime { idle: Duration::from_secs(10), absolute: Duration::from_secs(15) };
    let server =
        session_server_with(store(), Settings { session_lifetime, ..Settings::default() })
            .await;
    let visitor = &mut server.visitor();
    let reply = visitor.get("/set?name=a&value=1").await;
    assert!(reply.cookie_line("session_id").unwrap().contains("Max-Age=11;"));
    advance(Duration::from_secs(9)).await;
    let reply = visitor.get("/get?name=a").await;
    let line = reply.cookie_line("session_id").unwrap();
    assert!(line.contains("Max-Age=6;") || line.contains("Max-Age=5;"), "{line}");
    advance(Duration::from_secs(6)).await;
    assert_eq!(text(visitor, "/get?name=a").await, "(none)");
}

/// A shared cache that stored such a response would send one user's page to another.
#[tokio::test]
async fn a_response_that_used_the_session_is_not_cached_and_others_may_be() {
    let server = session_server(store()).await;
    let reply = server.visitor().get("/get?name=a").await;
    assert_eq!(reply.field("Cache-Control"), Some("no-store"));
    assert_eq!(reply.field("Vary"), Some("Cookie"));
    let reply = server.visitor().get("/nothing").await;
    assert_eq!((reply.field("Cache-Control"), reply.field("Vary")), (None, None));
}

/// Two concurrent requests of one client, each of which has resolved the same session.
async fn two_concurrent(store: &Arc<MemoryStore>) -> (Session, Session) {
    let first = Session::new(
        store.clone(),
        SessionConfig::default(),
        CLIENT_IP,
        std::iter::empty(),
    );
    first.set("username", "admin").await.unwrap();
    let dustdevil::session::ClientUpdate::SendId { id, .. } =
        first.client_update().await.unwrap()
    else {
        panic!("a new session is announced")
    };
    let again = || {
        Session::new(
            store.clone(),
            SessionConfig::default(),
            CLIENT_IP,
            [id.clone()].into_iter(),
        )
    };
    let (one, other) = (again(), again());
    assert!(one.contains("username").await.unwrap());
    assert!(other.contains("username").await.unwrap());
    (one, other)
}

/// Asserts that late operations change nothing, find nothing, and send no cookie.
async fn assert_inert(late: &Session, store: &MemoryStore, sessions: usize) {
    assert_eq!(late.get("username").await.unwrap(), None);
    late.set("username", "ghost").await.unwrap();
    assert_eq!(late.update("count", |_: Option<u32>| 1).await.unwrap(), None);
    assert_eq!(late.remove("username").await.unwrap(), None);
    late.rotate().await.unwrap();
    late.clear().await.unwrap();
    late.flash("boo").await.unwrap();
    let client_update = late.client_update().await.unwrap();
    assert!(matches!(client_update, dustdevil::session::ClientUpdate::None));
    assert_eq!(store.len(), sessions);
}

/// The request has read the session before the logout and writes after it. With a snapshot
/// store, which saves whole sessions, the write would revive the session.
#[tokio::test]
async fn a_request_in_flight_cannot_bring_a_logged_out_session_back() {
    let store = store();
    let (logout, late) = two_concurrent(&store).await;
    logout.destroy().await.unwrap();
    assert_inert(&late, &store, 0).await;
}

/// The same race with a login: a request with the old id must not write into the new session,
/// because the old id may be known to an attacker.
#[tokio::test]
async fn a_request_in_flight_cannot_undo_a_rotation() {
    let store = store();
    let (login, late) = two_concurrent(&store).await;
    login.rotate().await.unwrap();
    assert_inert(&late, &store, 1).await;
    assert_eq!(login.get("username").await.unwrap().as_deref(), Some("admin"));
}

/// The session ends after its handler has finished and before the response is sent. The
/// response must not set a cookie for a dead session.
#[tokio::test]
async fn a_late_response_does_not_set_the_cookie_again() {
    let store = store();
    let (one, other) = two_concurrent(&store).await;
    one.rotate().await.unwrap();
    let dustdevil::session::ClientUpdate::SendId { id, .. } =
        one.client_update().await.unwrap()
    else {
        panic!("a rotated session is announced")
    };
    drop(other);
    store.destroy(id.key()).await.unwrap();
    let client_update = one.client_update().await.unwrap();
    assert!(matches!(client_update, dustdevil::session::ClientUpdate::None));
}

/// Two branches of a `join!` both find no session, and both want to create one. The transition
/// lock of [`Session`] lets the second one use what the first has created.
#[tokio::test]
async fn concurrent_first_writes_in_one_request_create_one_session() {
    let store = store();
    let slow_store = Arc::new(SlowStore(store.clone()));
    let session =
        Session::new(slow_store, SessionConfig::default(), CLIENT_IP, std::iter::empty());
    let clone = session.clone();
    let (one, other) = tokio::join!(session.set("a", 1), clone.set("b", 2));
    one.unwrap();
    other.unwrap();
    assert_eq!(store.len(), 1);
    let mut keys = session.keys().await.unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
}

#[tokio::test]
async fn a_write_after_the_logout_creates_another_session() {
    let store = store();
    let server = session_server(Arc::clone(&store)).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=username&value=admin").await;
    let old = visitor.cookies["session_id"].clone();
    text(visitor, "/renew?name=note&value=bye").await;
    assert_ne!(visitor.cookies["session_id"], old);
    assert_eq!(text(visitor, "/keys").await, "note");
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn destroy_ends_the_session_and_deletes_the_cookie() {
    let store = store();
    let server = session_server(Arc::clone(&store)).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=a&value=1").await;
    let mut attacker = visitor.clone();
    let reply = visitor.get("/destroy").await;
    assert!(reply.cookie_line("session_id").unwrap().contains("Max-Age=0"));
    assert!(store.is_empty());
    let old = attacker.cookies["session_id"].clone();
    text(&mut attacker, "/set?name=a&value=2").await;
    assert_ne!(attacker.cookies["session_id"], old, "the old id gets a new session");
    assert!(!store.destroy(Id::parse(&old).unwrap().key()).await.unwrap());
}

#[tokio::test]
async fn render_prefers_the_given_values_over_the_session() {
    let server = session_server(store()).await;
    let visitor = &mut server.visitor();
    text(visitor, "/set?name=username&value=%3Cadmin%3E").await;
    assert_eq!(text(visitor, "/render").await.trim(), "[] [&lt;admin&gt;]");
    assert_eq!(text(visitor, "/render?value=x").await.trim(), "[x] [from the handler]");
    let reply = server.visitor().get("/render").await;
    assert_eq!(reply.status, 500, "an undefined placeholder");
}

/// A session with a user, on a store with latency.
async fn slow_session(store: &Arc<MemoryStore>) -> Session {
    let slow_store = Arc::new(SlowStore(store.clone()));
    let session =
        Session::new(slow_store, SessionConfig::default(), CLIENT_IP, std::iter::empty());
    session.set("username", "admin").await.unwrap();
    session
}

/// The write uses the old key, which the store does not know any more. [`Session`] notices that
/// the key has changed, and repeats the operation with the new one.
#[tokio::test]
async fn a_write_during_a_rotation_in_the_same_request_is_not_lost() {
    let store = store();
    let session = slow_session(&store).await;
    let clone = session.clone();
    let (rotated, set, counted, got, rotated_again) = tokio::join!(
        session.rotate(),
        clone.set("a", 1),
        clone.update("count", |count: Option<u32>| count.unwrap_or(0) + 1),
        clone.get("username"),
        clone.rotate(),
    );
    rotated.unwrap();
    set.unwrap();
    rotated_again.unwrap();
    assert_eq!(counted.unwrap(), Some(1));
    assert_eq!(got.unwrap().as_deref(), Some("admin"));
    assert_eq!(session.get_as::<u32>("count").await.unwrap(), Some(1));
    assert_eq!(session.get_as::<u32>("a").await.unwrap(), Some(1));
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_logout_wins_over_a_rotation_in_the_same_request() {
    let store = store();
    let session = slow_session(&store).await;
    let clone = session.clone();
    // The store has rotated the session by then, and the caller does not know it yet.
    let destroy = async {
        yields(5).await;
        clone.destroy().await
    };
    let (rotated, destroyed) = tokio::join!(session.rotate(), destroy);
    rotated.unwrap();
    destroyed.unwrap();
    assert!(store.is_empty());
    let client_update = session.client_update().await.unwrap();
    assert!(matches!(client_update, dustdevil::session::ClientUpdate::ForgetId));
}

/// Streams a value of its session.
struct StreamHandler {
    base: SessionHandler,
}

impl RequestHandler for StreamHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let session = self.base.session.clone();
        exchange.set_header("Cache-Control", "public")?;
        exchange.stream(async move |sender| {
            let value = session.get("a").await?;
            Ok(sender.send(value.unwrap_or_default()).await?)
        })
    }
}

#[tokio::test]
async fn a_stream_that_may_use_the_session_is_not_cached() {
    let settings = Settings { session_store: Some(store()), ..Settings::default() };
    let routes = [("/", handler::<StreamHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings).unwrap()).await;
    let reply = server.visitor().get("/").await;
    assert_eq!(reply.field("Cache-Control"), Some("no-store"));
    assert_eq!(reply.field("Vary"), Some("Cookie"));
}
