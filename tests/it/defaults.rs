//! The fields that every response has by default, and the hosts that the server responds for.

use std::time::Duration;

use dustdevil::{
    Application, Error, Exchange, Lifetime, Method, RequestHandler, Result, Settings,
    handler,
};

use crate::support::{project, serve, settings};

/// The security headers, with their defaults.
const SECURITY: [(&str, &str); 3] = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Content-Security-Policy", "frame-ancestors 'self'"),
];

/// Writes a greeting, and changes a security header on request.
struct GreetingHandler;

impl RequestHandler for GreetingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        if exchange.request().query() == Some("framed") {
            exchange.set_header("Content-Security-Policy", "frame-ancestors *")?;
        }
        exchange.write("hello")
    }
}

fn application(settings: Settings) -> Application {
    let settings = Settings { static_path: project("static"), ..settings };
    Application::new([("/", handler::<GreetingHandler>)], settings).unwrap()
}

#[tokio::test]
async fn the_security_headers_are_on_every_response() {
    let server = serve(application(settings())).await;
    let mut client = server.connect().await;
    for request in [
        "GET /",
        "HEAD /",
        "OPTIONS /",
        "OPTIONS *",
        "DELETE /",
        "GET /nowhere",
        "GET /static/site.css",
        "GET /static/../site.css",
        "GET /static/site.css\nRange: bytes=1000000-",
        "GET /static/site.css\nIf-None-Match: *",
    ] {
        let reply = client.ask(request).await;
        for (name, value) in SECURITY {
            assert_eq!(reply.fields_named(name).collect::<Vec<_>>(), [value], "{request}");
        }
    }
}

#[tokio::test]
async fn unusable_session_settings_are_errors_at_startup() {
    let none = Duration::ZERO;
    for settings in [
        Settings { session_cookie: String::from("_xsrf"), ..settings() },
        Settings {
            session_lifetime: Lifetime { idle: none, ..Lifetime::default() },
            ..settings()
        },
        Settings {
            session_lifetime: Lifetime { absolute: none, ..Lifetime::default() },
            ..settings()
        },
    ] {
        let routes = [("/", handler::<GreetingHandler> as dustdevil::Handler)];
        assert!(matches!(Application::new(routes, settings), Err(Error::Config(_))));
    }
}

/// HSTS (RFC 6797) makes a browser refuse plain http for the host for as long as `max-age`
/// says. Section 7.2 forbids the field over http.
#[tokio::test]
async fn strict_transport_security_is_sent_only_over_https_and_if_configured() {
    let promise = "max-age=31536000; includeSubDomains";
    let settings = Settings {
        strict_transport_security: promise,
        trusted_proxies: vec![[127, 0, 0, 1].into()],
        ..settings()
    };
    let server = serve(application(settings)).await;
    let mut client = server.connect().await;
    for request in ["GET /", "GET /nowhere", "DELETE /", "GET /static/site.css"] {
        let over_https = client.ask(&format!("{request}\nX-Forwarded-Proto: https")).await;
        assert_eq!(
            over_https.field("Strict-Transport-Security"),
            Some(promise),
            "{request}"
        );
        let in_the_open = client.ask(request).await;
        assert_eq!(in_the_open.field("Strict-Transport-Security"), None, "{request}");
    }
}

#[tokio::test]
async fn each_security_header_is_a_setting_and_a_handler_may_set_its_own() {
    let changed = [
        Settings { content_type_options: "", ..settings() },
        Settings { referrer_policy: "", ..settings() },
        Settings { content_security_policy: "", ..settings() },
    ];
    for (left_out, settings) in changed.into_iter().enumerate() {
        let server = serve(application(settings)).await;
        let reply = server.connect().await.ask("GET /").await;
        for (index, (name, value)) in SECURITY.into_iter().enumerate() {
            let expected = (index != left_out).then_some(value);
            assert_eq!(reply.field(name), expected, "{name}");
        }
    }
    let settings = Settings { referrer_policy: "no-referrer", ..settings() };
    let server = serve(application(settings)).await;
    let reply = server.connect().await.ask("GET /?framed").await;
    assert_eq!(reply.field("Referrer-Policy"), Some("no-referrer"));
    let policies: Vec<_> = reply.fields_named("Content-Security-Policy").collect();
    assert_eq!(policies, ["frame-ancestors *"]);
}

/// DNS rebinding: an attacker lets their own host name resolve to this server, so that their
/// page counts as same-origin. A list of allowed hosts defeats that.
#[tokio::test]
async fn a_request_for_an_unknown_host_is_misdirected() {
    let hosts = ["example.com", "*.example.org", "127.0.0.1", "[::1]"];
    let allowed_hosts = hosts.map(String::from).to_vec();
    let server = serve(application(Settings { allowed_hosts, ..settings() })).await;
    let status = async |host: &str| {
        let mut client = server.connect().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        client.receive().await.status
    };
    for ours in [
        "example.com",
        "EXAMPLE.com:8888",
        "example.com.",
        "a.example.org",
        "a.b.Example.org:80",
        "127.0.0.1:8888",
        "[::1]",
        "[::1]:8888",
    ] {
        assert_eq!(status(ours).await, 200, "{ours}");
    }
    for other in [
        "evil.example",
        "example.com.evil.example",
        "a.example.com",
        "example.org",
        ".example.org",
        "evilexample.org",
        "127.0.0.11",
        "localhost",
        "[::2]",
    ] {
        assert_eq!(status(other).await, 421, "{other}");
    }
    let mut client = server.connect().await;
    client.send("GET http://evil.example/ HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 421);
    let mut client = server.connect().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 421, "no host is no host of ours");
}

#[test]
fn an_invalid_allowed_host_is_an_error_at_startup() {
    for host in [
        "",
        "*",
        "*.",
        "*.[::1]",
        "a b",
        "a.*.com",
        "example.com.",
        "example.com:80",
        "http://example.com",
    ] {
        let allowed_hosts = vec![String::from(host)];
        let settings = Settings { allowed_hosts, ..settings() };
        assert!(matches!(Application::new([], settings), Err(Error::Config(_))), "{host}");
    }
}
