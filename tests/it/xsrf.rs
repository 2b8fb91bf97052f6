//! Cross-site request forgery: form tokens, and the check of the request's origin.
//!
//! The defence is a signed double-submit cookie (OWASP CSRF Prevention Cheat Sheet): a form
//! contains a token that the server has derived from a cookie and a secret. Another site can
//! make the browser send the cookie, but cannot read it, so it cannot put the right token into
//! its form. In addition, the fields `Sec-Fetch-Site` and `Origin`, which scripts cannot set,
//! reveal cross-site requests.

use dustdevil::web::xsrf::{Secret, TokenOwner};
use dustdevil::{
    Application, Exchange, Method, RequestHandler, Result, SessionHandler, Settings,
    handler,
};

use crate::support::{Running, Visitor, serve, settings};

/// GET returns a token, POST needs one. The path names what happens to the session before that.
struct FormHandler {
    base: SessionHandler,
}

impl RequestHandler for FormHandler {
    const SUPPORTED_METHODS: &'static [Method] =
        &[Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let token = exchange.xsrf_token().await?;
        exchange.write(format!("name=\"_xsrf\" value=\"{token}\""))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.request().path() {
            "/login" => self.base.session.set("username", "admin").await?,
            "/rotate" => self.base.session.rotate().await?,
            "/logout" => self.base.session.destroy().await?,
            _ => {}
        }
        exchange.write("done")
    }

    async fn put(&mut self, exchange: &mut Exchange) -> Result {
        self.post(exchange).await
    }

    async fn patch(&mut self, exchange: &mut Exchange) -> Result {
        self.post(exchange).await
    }

    async fn delete(&mut self, exchange: &mut Exchange) -> Result {
        self.post(exchange).await
    }
}

async fn forms() -> Running {
    forms_with(Settings { xsrf_cookies: true, ..settings() }).await
}

async fn forms_with(settings: Settings) -> Running {
    let routes = ["/", "/login", "/rotate", "/logout"];
    let routes = routes.map(|path| (path, handler::<FormHandler> as dustdevil::Handler));
    serve(Application::new(routes, settings).unwrap()).await
}

async fn post(visitor: &mut Visitor, target: &str, token: &str) -> u16 {
    visitor.post(target, &[("_xsrf", token)]).await.status
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_page() {
    let server = forms().await;
    let visitor = &mut server.visitor();
    let reply = visitor.post("/", &[("name", "value")]).await;
    assert_eq!((reply.status, reply.field("Set-Cookie")), (403, None));
    assert!(reply.text().contains("The _xsrf token is missing."));
    let token = visitor.get("/").await.xsrf_token();
    assert_eq!(post(visitor, "/", &token).await, 200);
    assert_eq!(post(visitor, "/", &token).await, 200, "as often as one likes");
    for method in ["PUT", "PATCH", "DELETE"] {
        assert_eq!(
            visitor.request(&format!("{method} /"), "").await.status,
            403,
            "{method}"
        );
        let head = format!("{method} /\nX-XSRFToken: {token}");
        assert_eq!(visitor.request(&head, "").await.status, 200, "{method}");
    }
}

#[tokio::test]
async fn scripts_may_send_the_token_in_a_header() {
    let server = forms().await;
    let visitor = &mut server.visitor();
    let token = visitor.get("/").await.xsrf_token();
    for name in ["X-XSRFToken", "X-CSRFToken"] {
        let head = format!("POST /\n{name}: {token}\nContent-Length: 0");
        assert_eq!(visitor.request(&head, "").await.status, 200, "{name}");
    }
}

/// URLs end up in logs, in the history and in `Referer`, so a token in a URL is not a secret.
#[tokio::test]
async fn a_token_in_the_url_does_not_count() {
    let server = forms().await;
    let visitor = &mut server.visitor();
    let token = visitor.get("/").await.xsrf_token();
    let reply = visitor.post(&format!("/?_xsrf={token}"), &[("name", "value")]).await;
    assert_eq!(reply.status, 403);
}

/// The signature is what the simple double-submit cookie lacks: an attacker that can plant a
/// cookie could choose both halves of the pair.
#[tokio::test]
async fn a_pair_of_cookie_and_token_that_was_not_issued_here_is_rejected() {
    let server = forms().await;
    let visitor = &mut server.visitor();
    let genuine = visitor.get("/").await.xsrf_token();
    let mark = visitor.cookies["_xsrf"].clone();
    for (cookie, token) in [
        ("abc", "abc"),
        ("", ""),
        (mark.as_str(), mark.as_str()),
        (mark.as_str(), &genuine[1..]),
        (mark.as_str(), ""),
        (&"0".repeat(64), &"0".repeat(64)),
        (mark.as_str(), &"\u{e9}".repeat(32)),
        ("abc", genuine.as_str()),
    ] {
        visitor.cookies.insert("_xsrf".into(), cookie.into());
        assert_eq!(post(visitor, "/", token).await, 403, "{cookie} {token}");
    }
    let other = server.visitor().get("/").await.xsrf_token();
    visitor.cookies.insert("_xsrf".into(), mark);
    assert_eq!(post(visitor, "/", &other).await, 403, "a token of another visitor");
    assert_eq!(post(visitor, "/", &genuine).await, 200);
}

#[tokio::test]
async fn viewing_a_form_creates_no_session() {
    let store = crate::support::store();
    let settings = Settings {
        xsrf_cookies: true,
        session_store: Some(store.clone()),
        ..Settings::default()
    };
    let server = forms_with(settings).await;
    let mut visitor = server.visitor();
    let reply = visitor.get("/").await;
    let line = reply.cookie_line("_xsrf").unwrap();
    assert!(line.contains("; HttpOnly") && line.contains("; SameSite=Lax"), "{line}");
    assert_eq!(reply.field("Cache-Control"), Some("no-store"));
    assert_eq!(visitor.get("/").await.cookie("_xsrf"), None, "one mark is enough");
    assert!(store.is_empty());
}

/// A token that is equal in all pages could be guessed byte by byte from the size of compressed
/// responses (the BREACH attack). A random mask, which the server removes, makes each one
/// different.
#[tokio::test]
async fn tokens_are_masked_afresh_in_every_page() {
    let server = forms().await;
    let visitor = &mut server.visitor();
    let one = visitor.get("/").await.xsrf_token();
    let other = visitor.get("/").await.xsrf_token();
    assert_ne!(one, other);
    assert_eq!(post(visitor, "/", &one).await, 200);
    assert_eq!(post(visitor, "/", &other).await, 200);
}

/// A token is bound to the key of the session, so one that an attacker obtained before the
/// login does not survive it.
#[tokio::test]
async fn a_token_is_invalid_after_login_rotation_and_logout() {
    let server = forms().await;
    let visitor = &mut server.visitor();
    let before = visitor.get("/").await.xsrf_token();
    let mark = visitor.cookies["_xsrf"].clone();
    assert_eq!(post(visitor, "/login", &before).await, 200);
    assert_eq!(visitor.cookies["_xsrf"], mark);
    assert_eq!(post(visitor, "/", &before).await, 403, "after the login");

    let within = visitor.get("/").await.xsrf_token();
    assert_eq!(post(visitor, "/", &within).await, 200);
    assert_eq!(post(visitor, "/rotate", &within).await, 200);
    assert_eq!(post(visitor, "/", &within).await, 403, "after the rotation");

    let within = visitor.get("/").await.xsrf_token();
    let old = visitor.clone();
    assert_eq!(post(visitor, "/logout", &within).await, 200);
    assert!(!visitor.cookies.contains_key("_xsrf"), "the mark is gone with the session");
    assert_eq!(post(visitor, "/", &within).await, 403, "after the logout");
    assert_eq!(post(&mut old.clone(), "/", &within).await, 403, "with the old cookie, too");
    assert_eq!(post(visitor, "/", &before).await, 403, "and the first is not back");
}

#[tokio::test]
async fn a_cross_site_request_is_refused_before_its_token_is_checked() {
    let server = forms_with(Settings {
        trusted_origins: vec![String::from("https://friend.example")],
        ..settings()
    })
    .await;
    let mut client = server.connect().await;
    for (fields, status) in [
        ("", 200),
        ("Sec-Fetch-Site: same-origin", 200),
        ("Sec-Fetch-Site: none", 200),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Origin: http://localhost", 200),
        ("Origin: http://localhost:80", 200),
        ("Origin: http://localhost:81", 403),
        ("Origin: http://localhost:443", 403),
        ("Origin: https://localhost:443", 200),
        ("Origin: http://evil.example", 403),
        ("Origin: null", 403),
        ("Origin: https://friend.example", 200),
        ("Sec-Fetch-Site: cross-site\nOrigin: https://friend.example", 200),
        ("Sec-Fetch-Site: cross-site\nOrigin: http://localhost", 403),
    ] {
        let reply = client.ask(&format!("POST /\n{fields}")).await;
        assert_eq!(reply.status, status, "{fields}");
        let reply = client.ask(&format!("GET /\n{fields}")).await;
        assert_eq!(reply.status, 200, "a GET request may come from any site: {fields}");
    }
    let trusted_proxies = vec![[127, 0, 0, 1].into()];
    let server = forms_with(Settings { trusted_proxies, ..settings() }).await;
    let mut client = server.connect().await;
    for (scheme, status) in [("https", 200), ("http", 403)] {
        let fields = format!("X-Forwarded-Proto: https\nOrigin: {scheme}://localhost");
        assert_eq!(
            client.ask(&format!("POST /\n{fields}")).await.status,
            status,
            "{scheme}"
        );
    }
    let server = forms_with(Settings { check_origin: false, ..settings() }).await;
    let mut client = server.connect().await;
    assert_eq!(
        client.ask("POST /\nSec-Fetch-Site: cross-site").await.status,
        200,
        "a setting"
    );
}

#[test]
fn tokens_are_valid_only_under_the_same_secret() {
    let (one, same, other) =
        (Secret::new(b"a secret"), Secret::new(b"a secret"), Secret::new(b""));
    let mark = one.new_visitor_id();
    let token = one.issue(TokenOwner::Visitor(&mark));
    assert!(same.verify(&token, TokenOwner::Visitor(&mark)));
    let read = same.visitor_id(mark.text()).expect("a mark of the same secret");
    assert!(
        one.verify(&same.issue(TokenOwner::Visitor(&read)), TokenOwner::Visitor(&mark))
    );
    assert!(other.visitor_id(mark.text()).is_none(), "a mark of another secret");
    assert!(!other.verify(&token, TokenOwner::Visitor(&other.new_visitor_id())));
    assert_ne!(other.new_visitor_id().text(), Secret::new(b"").new_visitor_id().text());
}
