//! The user of a session: login, the list of sessions, revoking them, and the security log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::id::Id;
use dustdevil::session::login::revoke_all;
use dustdevil::session::{ClientUpdate, SessionConfig};
use dustdevil::{
    Application, Exchange, Lifetime, MemoryStore, Method, RequestHandler, Result, Session,
    SessionHandler, Settings, Store, handler,
};

use crate::process::{Process, command};
use crate::support::{CLIENT_IP, Running, Visitor, demo_of, serve, store};

const CONFIG: SessionConfig =
    SessionConfig { max_sessions_per_user: 3, lifetime: LIFETIME };

const LIFETIME: Lifetime =
    Lifetime { idle: Duration::from_secs(300), absolute: Duration::from_secs(8 * 3600) };

fn session(store: &Arc<MemoryStore>, ids: &[Id]) -> Session {
    Session::new(store.clone(), CONFIG, CLIENT_IP, ids.iter().cloned())
}

async fn id(session: &Session) -> Id {
    match session.client_update().await.unwrap() {
        ClientUpdate::SendId { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

async fn user(store: &Arc<MemoryStore>, id: &Id) -> Option<String> {
    session(store, std::slice::from_ref(id)).get("username").await.unwrap()
}

/// Creates a session of a user and returns its id.
async fn logged_in(store: &Arc<MemoryStore>, name: &str) -> Id {
    let session = session(store, &[]);
    session.log_in(name).await.unwrap();
    id(&session).await
}

#[tokio::test]
async fn a_login_rotates_the_id_and_keeps_the_anonymous_values() {
    let store = store();
    let before = session(&store, &[]);
    before.set("cart", "tea").await.unwrap();
    let old = id(&before).await;
    let login = session(&store, std::slice::from_ref(&old));
    login.log_in("admin").await.unwrap();
    let new = id(&login).await;
    assert_ne!(new.reveal(), old.reveal());
    assert_eq!(login.get("cart").await.unwrap().as_deref(), Some("tea"));
    assert_eq!(user(&store, &new).await.as_deref(), Some("admin"));
    assert_eq!(user(&store, &old).await, None);
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_login_keeps_no_value_of_another_user() {
    let store = store();
    let first = session(&store, &[]);
    first.log_in("alice").await.unwrap();
    first.set("letters", "from Bob").await.unwrap();
    let old = id(&first).await;
    let second = session(&store, std::slice::from_ref(&old));
    second.log_in("bob").await.unwrap();
    assert_eq!(second.keys().await.unwrap(), ["username"]);
    assert_eq!(user(&store, &old).await, None);
    assert!(store.sessions_of("alice").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_second_login_rotates_the_id_and_restarts_the_lifetime() {
    let store = store();
    let old = logged_in(&store, "admin").await;
    let again = session(&store, std::slice::from_ref(&old));
    let long = Lifetime { absolute: Duration::from_secs(30 * 24 * 3600), ..LIFETIME };
    let long = Lifetime { idle: Duration::from_secs(14 * 24 * 3600), ..long };
    again.log_in_for("admin", long).await.unwrap();
    match again.client_update().await.unwrap() {
        ClientUpdate::SendId { id, max_age, .. } => {
            assert_ne!(id.reveal(), old.reveal());
            assert_eq!(max_age, long.idle + long.idle / 10);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(user(&store, &old).await, None);
}

#[tokio::test]
async fn a_login_creates_a_session_if_its_own_ended_in_the_meantime() {
    let store = store();
    let anonymous = session(&store, &[]);
    anonymous.set("cart", "tea").await.unwrap();
    let old = id(&anonymous).await;
    let login = session(&store, std::slice::from_ref(&old));
    assert!(login.contains("cart").await.unwrap(), "the session is resolved");
    store.destroy(old.key()).await.unwrap();
    login.log_in("admin").await.unwrap();
    let new = id(&login).await;
    assert_eq!(user(&store, &new).await.as_deref(), Some("admin"));
    assert_eq!(
        login.keys().await.unwrap(),
        ["username"],
        "values of the ended session do not come back"
    );
}

#[tokio::test]
async fn planted_values_do_not_prevent_a_login() {
    let store = store();
    let planted = session(&store, &[]);
    planted.set("cart", "x".repeat(16 * 1024 - 36)).await.unwrap();
    let old = id(&planted).await;
    let login = session(&store, std::slice::from_ref(&old));
    login.log_in("admin").await.unwrap();
    assert_eq!(login.keys().await.unwrap(), ["username"]);
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn a_login_above_the_session_limit_ends_the_oldest_session() {
    let store = store();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(logged_in(&store, "admin").await);
        logged_in(&store, "another").await;
    }
    let mut live = Vec::new();
    for id in &ids {
        live.push(user(&store, id).await.is_some());
    }
    assert_eq!(live, [false, false, true, true, true]);
    assert_eq!(store.sessions_of("another").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_user_cannot_revoke_a_session_of_another_user() {
    let store = store();
    let (mine, yours) = (logged_in(&store, "alice").await, logged_in(&store, "bob").await);
    let session = session(&store, std::slice::from_ref(&mine));
    assert!(!session.revoke(yours.key()).await.unwrap());
    assert_eq!(session.revoke_others().await.unwrap(), 0);
    assert_eq!(user(&store, &yours).await.as_deref(), Some("bob"));
    assert!(session.revoke(mine.key()).await.unwrap());
    assert!(matches!(session.client_update().await.unwrap(), ClientUpdate::ForgetId));
    assert_eq!(user(&store, &mine).await, None);
}

#[tokio::test]
async fn a_session_without_a_user_lists_and_revokes_nothing() {
    let store = store();
    let yours = logged_in(&store, "bob").await;
    let anonymous = session(&store, &[]);
    assert!(anonymous.sessions().await.unwrap().is_empty());
    assert_eq!(anonymous.revoke_others().await.unwrap(), 0);
    assert!(!anonymous.revoke(yours.key()).await.unwrap());
}

#[tokio::test]
async fn all_sessions_of_a_user_can_be_revoked_from_outside() {
    let store = store();
    for _ in 0..3 {
        logged_in(&store, "alice").await;
    }
    let other = logged_in(&store, "bob").await;
    assert_eq!(revoke_all(&*store, "alice").await.unwrap(), 3);
    assert!(store.sessions_of("alice").await.unwrap().is_empty());
    assert_eq!(user(&store, &other).await.as_deref(), Some("bob"));
}

async fn log_in_with(
    server: &Running,
    username: &str,
    device: &str,
    form: &[(&str, &str)],
) -> Visitor {
    let mut visitor = server.visitor();
    let token = visitor.get("/login").await.xsrf_token();
    let mut pairs = vec![("username", username), ("password", "123"), ("_xsrf", &token)];
    pairs.extend(form);
    let content: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let content = content.join("&");
    let head = format!(
        "POST /login\nUser-Agent: {device}\n\
         Content-Type: application/x-www-form-urlencoded\nContent-Length: {}",
        content.len()
    );
    assert_eq!(visitor.request(&head, &content).await.status, 302);
    visitor
}

#[tokio::test]
async fn the_demo_lists_and_revokes_the_sessions_of_its_user() {
    let server = demo_of("lister").await;
    let mut here = log_in_with(&server, "lister", "Firefox <1>", &[]).await;
    let mut phone = log_in_with(&server, "lister", "Telephone", &[]).await;
    let mut library = log_in_with(&server, "lister", "Library", &[]).await;
    let page = here.get("/sessions").await.text();
    for device in ["Firefox &lt;1&gt;", "Telephone", "Library"] {
        assert!(page.contains(device), "{page}");
    }
    assert_eq!(page.matches("from 127.0.0.1, last used just now").count(), 3, "{page}");
    assert_eq!(page.matches("This session").count(), 1);

    let key = Id::parse(&phone.cookies["session_id"]).unwrap().key().to_string();
    let wrong = [("key", &*key), ("password", "guess")];
    here.fill("/sessions", "/sessions", &wrong).await;
    assert!(here.get("/sessions").await.text().contains("Wrong password."));
    assert_eq!(phone.get("/main").await.status, 200, "a wrong password revokes nothing");

    here.fill("/sessions", "/sessions", &[("key", &key), ("password", "123")]).await;
    assert_eq!(phone.get("/main").await.status, 302);
    assert_eq!(library.get("/main").await.status, 200);

    let others = [("others", "yes"), ("password", "123")];
    here.fill("/sessions", "/sessions", &others).await;
    assert!(here.get("/sessions").await.text().contains("Signed out 1 other sessions."));
    assert_eq!(library.get("/main").await.status, 302);
    assert_eq!(here.get("/main").await.status, 200);
}

#[tokio::test]
async fn every_page_after_the_login_has_a_logout_and_shows_no_id() {
    let server = demo_of("leaver-of-pages").await;
    let mut here = log_in_with(&server, "leaver-of-pages", "Here", &[]).await;
    for path in ["/main", "/sessions"] {
        let page = here.get(path).await.text();
        assert!(page.contains("action=\"/logout\""), "{path}");
        assert!(!page.contains(&here.cookies["session_id"]), "{path}");
    }
    let token = here.get("/sessions").await.xsrf_token();
    assert_eq!(here.get("/logout").await.status, 405, "GET changes nothing");
    assert_eq!(here.post("/logout", &[("_xsrf", &token)]).await.status, 302);
    assert_eq!(here.get("/sessions").await.status, 302);
}

#[tokio::test]
async fn no_other_site_opens_embeds_or_scripts_the_pages_of_the_demo() {
    let server = demo_of("hermit").await;
    let mut here = log_in_with(&server, "hermit", "Here", &[]).await;
    for path in ["/login", "/main", "/sessions", "/nowhere", "/static/site.css"] {
        let reply = here.get(path).await;
        for name in ["Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy"] {
            assert_eq!(reply.field(name), Some("same-origin"), "{path}");
        }
        let policy = reply.field("Content-Security-Policy").unwrap();
        for directive in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(directive), "{path}: {policy}");
        }
        assert!(!policy.contains("script-src"), "{path}: {policy}");
        assert_eq!(reply.field("Access-Control-Allow-Origin"), None, "{path}");
    }
}

#[tokio::test]
async fn the_list_of_sessions_needs_a_login_and_its_form_a_key() {
    let server = demo_of("stranger").await;
    assert_eq!(server.visitor().get("/sessions").await.status, 302);
    let mut here = log_in_with(&server, "stranger", "Here", &[]).await;
    for key in ["", "zz", "0123456789abcdef0123456789abcdef0"] {
        let form = [("key", key), ("password", "123")];
        assert_eq!(here.fill("/sessions", "/sessions", &form).await.status, 400, "{key}");
    }
    let unknown = [("key", "0123456789abcdef0123456789abcdef"), ("password", "123")];
    assert_eq!(here.fill("/sessions", "/sessions", &unknown).await.status, 302);
}

#[tokio::test]
async fn remember_me_extends_the_cookie() {
    let server = demo_of("elephant").await;
    let max_age = async |form: &[(&str, &str)]| {
        let visitor = log_in_with(&server, "elephant", "Here", form).await;
        // The test client does not store the Max-Age of a cookie, so ask the store.
        let id = Id::parse(&visitor.cookies["session_id"]).unwrap();
        let store = dustdevil::session::memory::container();
        match store.visit(id.key(), CLIENT_IP, "").await.unwrap() {
            dustdevil::session::store::Visit::Live(visited) => visited.max_age,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(max_age(&[]).await, Duration::from_secs(330));
    let remembered = max_age(&[("remember", "yes")]).await;
    assert_eq!(remembered, Duration::from_secs(14 * 24 * 3600) * 11 / 10);
}

/// Returns the counters of the session store.
struct CountersHandler {
    base: SessionHandler,
}

impl RequestHandler for CountersHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.base.session.set("a", 1).await?;
        let counters = exchange.session_store().counters().await?;
        exchange.write(format!("{} live of {}", counters.live, counters.created))
    }
}

#[tokio::test]
async fn an_application_can_read_the_counters_of_its_store() {
    let settings = Settings { session_store: Some(store()), ..Settings::default() };
    let routes = [("/", handler::<CountersHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings).unwrap()).await;
    assert_eq!(server.visitor().get("/").await.text(), "1 live of 1");
    assert_eq!(server.visitor().get("/").await.text(), "2 live of 2");
}

#[tokio::test]
async fn the_security_log_names_a_session_by_its_fingerprint_only() {
    let demo = Process::start(&mut command(["--credentials", "admin:123"]));
    let mut visitor = Visitor { address: demo.address(), cookies: BTreeMap::new() };
    let form = [("username", "admin"), ("password", "guess")];
    visitor.fill("/login", "/login", &form).await;
    let anonymous = visitor.cookies["session_id"].clone();
    visitor.log_in().await;
    let known = visitor.cookies["session_id"].clone();
    visitor.fill("/main", "/logout", &[]).await;
    visitor.cookies.insert("session_id".into(), known.clone());
    visitor.get("/main").await;
    demo.signal("TERM");
    let log = demo.wait().log.join("\n");
    let fingerprint = |id: &str| Id::parse(id).unwrap().key().fingerprint();
    let (before, after) = (fingerprint(&anonymous), fingerprint(&known));
    for line in [
        format!("session_created session={before} ip=127.0.0.1"),
        format!("session_rotated from={before} to={after} ip=127.0.0.1"),
        format!("authn_login_success user=\"admin\" session={after} ip=127.0.0.1"),
        format!("session_expired reason=logout session={after} ip=127.0.0.1"),
        format!("session_unknown session={after} count=1 ip=127.0.0.1"),
    ] {
        assert!(log.contains(&line), "no {line:?} in\n{log}");
    }
    for id in [anonymous, known] {
        assert!(!log.contains(&id), "{id} is in\n{log}");
        let key = Id::parse(&id).unwrap().key().to_string();
        assert!(!log.contains(&key), "a whole key is in\n{log}");
    }
}
