//! The demo: login page, main page, logout, and the rate limits of logins.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use dustdevil::Application;
use dustdevil::http::Service;
use dustdevil::http::body::Body;
use dustdevil::http::content::Buffered;
use dustdevil::session::id::Id;
use dustdevil::session::memory;
use tokio::time::advance;

use crate::demo::options::Options;
use crate::support::{demo, request, serve};
use crate::webdriver::tell;

#[tokio::test]
async fn a_visitor_logs_in_sees_the_main_page_and_logs_out() {
    let server = serve(demo()).await;
    let visitor = &mut server.visitor();
    let reply = visitor.log_in().await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/main")));
    let page = visitor.get("/main").await;
    assert!(page.text().contains("this is main page"));
    assert!(page.text().contains("admin"));
    assert_eq!(page.field("Cache-Control"), Some("no-store"));
    assert_eq!((page.field("ETag"), page.field("Set-Cookie")), (None, None));

    let old = visitor.clone();
    let reply = visitor.fill("/main", "/logout", &[]).await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/login")));
    assert!(reply.cookie_line("session_id").unwrap().contains("Max-Age=0"));
    for mut visitor in [visitor.clone(), old] {
        let reply = visitor.get("/main").await;
        assert_eq!(
            (reply.status, reply.field("Location")),
            (302, Some("/login?next=%2Fmain"))
        );
    }
}

#[tokio::test]
async fn the_login_page_is_an_uncacheable_form_with_a_token() {
    let server = serve(demo()).await;
    let reply = server.visitor().get("/login").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.field("Content-Type"), Some("text/html; charset=UTF-8"));
    assert_eq!(reply.field("Cache-Control"), Some("no-store"));
    assert_eq!(reply.field("ETag"), None);
    assert_eq!(reply.xsrf_token().len(), 64);
    let policy = reply.field("Content-Security-Policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    assert!(!reply.text().contains("<script") && !reply.text().contains("style="));
}

#[tokio::test]
async fn a_wrong_password_leads_back_with_a_message_that_is_shown_once() {
    let server = serve(demo()).await;
    let visitor = &mut server.visitor();
    let form = [("username", "once"), ("password", "wrong")];
    let reply = visitor.fill("/login", "/login", &form).await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/login")));
    let message = "Wrong username or password.";
    // The response to HEAD shows no message, so it stays for the next GET.
    assert_eq!(visitor.request("HEAD /login", "").await.status, 200);
    assert!(visitor.get("/login").await.text().contains(message));
    assert!(!visitor.get("/login").await.text().contains(message));
    assert_eq!(visitor.get("/main").await.status, 302);
}

#[tokio::test]
async fn the_password_is_read_from_the_form_alone_and_as_it_was_typed() {
    let server = serve(demo()).await;
    let visitor = &mut server.visitor();
    let reply = visitor.fill("/login", "/login?username=admin&password=123", &[]).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("The argument username is missing."));
    let spaces = [("username", "admin"), ("password", " 123 ")];
    let reply = visitor.fill("/login", "/login", &spaces).await;
    assert_eq!(reply.field("Location"), Some("/login"));
    let spaces = [("username", " admin "), ("password", "123")];
    let reply = visitor.fill("/login", "/login", &spaces).await;
    assert_eq!(reply.field("Location"), Some("/main"), "a name is trimmed");
}

#[tokio::test]
async fn a_session_id_that_was_known_before_the_login_opens_nothing_after_it() {
    let server = serve(demo()).await;
    let attacker = &mut server.visitor();
    let form = [("username", "fixation"), ("password", "wrong")];
    attacker.fill("/login", "/login", &form).await;
    let planted = attacker.cookies["session_id"].clone();

    let victim = &mut server.visitor();
    victim.cookies.insert("session_id".into(), planted.clone());
    assert_eq!(victim.log_in().await.field("Location"), Some("/main"));
    assert_ne!(victim.cookies["session_id"], planted);
    assert_eq!(victim.get("/main").await.status, 200);
    assert_eq!(attacker.get("/main").await.status, 302);
    let key = Id::parse(&planted).unwrap().key();
    let store: &dyn dustdevil::Store = &*memory::container();
    assert!(store.get(key, "username").await.unwrap().is_none());
}

#[tokio::test]
async fn the_login_redirects_to_the_requested_page_of_this_site_only() {
    let server = serve(demo()).await;
    for (next, location) in [
        ("/main?page=2", "/main?page=2"),
        ("https://evil.example", "/main"),
        ("//evil.example", "/main"),
        ("/\\evil.example", "/main"),
        ("/a\r\nSet-Cookie: a=b", "/main"),
        ("", "/main"),
    ] {
        let form = [("username", "admin"), ("password", "123"), ("next", next)];
        let reply = server.visitor().fill("/login", "/login", &form).await;
        assert_eq!(reply.field("Location"), Some(location), "{next}");
    }
    let visitor = &mut server.visitor();
    let reply = visitor.get("/main?page=2").await;
    let login = reply.field("Location").unwrap().to_owned();
    assert_eq!(login, "/login?next=%2Fmain%3Fpage%3D2");
    let page = visitor.get(&login).await.text();
    assert!(page.contains("name=\"next\" value=\"/main?page=2\""), "{page}");
    let form = [("username", "next"), ("password", "wrong"), ("next", "/main?page=2")];
    let reply = visitor.fill("/login", "/login", &form).await;
    assert_eq!(
        reply.field("Location"),
        Some(login.as_str()),
        "it survives a wrong password"
    );
}

#[tokio::test]
async fn a_post_to_the_main_page_needs_the_login_too() {
    let server = serve(demo()).await;
    let visitor = &mut server.visitor();
    assert_eq!(visitor.fill("/login", "/main", &[]).await.status, 403);
    visitor.log_in().await;
    let reply = visitor.fill("/main", "/main", &[]).await;
    assert_eq!((reply.status, reply.content.len()), (200, 0), "the tutorial's pass");
}

#[tokio::test(start_paused = true)]
async fn guessing_is_throttled_for_each_name_and_address() {
    let server = serve(demo()).await;
    let guess = async |username: &str, password: &str| {
        let form = [("username", username), ("password", password)];
        server.visitor().fill("/login", "/login", &form).await
    };
    for _ in 0..5 {
        assert_eq!(guess("admin", "wrong").await.status, 302);
    }
    for _ in 0..40 {
        assert_eq!(guess("admin", "wrong").await.status, 429);
    }
    let reply = guess("admin", "123").await;
    assert_eq!(reply.status, 429, "also for the right password");
    let wait: u64 = reply.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait), "{wait}");
    assert_eq!(guess("third", "wrong").await.status, 302, "another name");
    advance(Duration::from_secs(wait)).await;
    assert_eq!(guess("admin", "123").await.field("Location"), Some("/main"));

    for _ in 0..100 {
        assert_eq!(
            guess("admin", "123").await.status,
            302,
            "a successful login does not count"
        );
    }
    for _ in 0..2 {
        for _ in 0..4 {
            assert_eq!(guess("admin", "wrong").await.status, 302);
        }
        assert_eq!(
            guess("admin", "123").await.status,
            302,
            "and clears the count of its name"
        );
    }
    advance(Duration::from_secs(60)).await;
    for number in 0..30 {
        assert_eq!(guess(&format!("name{number}"), "wrong").await.status, 302);
    }
    assert_eq!(
        guess("another", "wrong").await.status,
        429,
        "and for all names from one address"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_guesses_are_all_counted() {
    let server = serve(demo()).await;
    let mut visitor = server.visitor();
    let token = visitor.get("/login").await.xsrf_token();
    let guesses = (0..20).map(|_| {
        let (mut visitor, token) = (visitor.clone(), token.clone());
        tokio::spawn(async move {
            let form = [("username", "parallel"), ("password", "wrong"), ("_xsrf", &token)];
            visitor.post("/login", &form).await.status
        })
    });
    let mut accepted = 0;
    for guess in guesses.collect::<Vec<_>>() {
        accepted += usize::from(guess.await.unwrap() == 302);
    }
    assert_eq!(accepted, 5);
}

/// Sends a wrong guess from any client address, without a socket, and returns the status.
async fn guess_from(demo: &Application, address: &str, username: &str) -> u16 {
    let peer = SocketAddr::new(address.parse().unwrap(), 50_000);
    let page = demo.respond(request("GET /login"), peer, &mut Buffered(Bytes::new())).await;
    let cookies: Vec<String> = page
        .fields()
        .filter(|(name, _)| *name == "Set-Cookie")
        .filter_map(|(_, value)| value.split(';').next().map(str::to_owned))
        .collect();
    let Body::Bytes(content) = page.body else { panic!("the page is a stream") };
    let page = String::from_utf8(content.to_vec()).unwrap();
    let (_, token) = page.split_once("name=\"_xsrf\" value=\"").unwrap();
    let form = format!(
        "username={username}&password=x&_xsrf={}",
        token.split('"').next().unwrap()
    );
    let head = format!(
        "POST /login\nCookie: {}\nContent-Type: application/x-www-form-urlencoded\n\
         Content-Length: {}",
        cookies.join("; "),
        form.len(),
    );
    let response = demo.respond(request(&head), peer, &mut Buffered(form.into())).await;
    response.status.code()
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_large_ipv6_network_has_few_guesses_more() {
    let demo = demo();
    let mut accepted = 0;
    for network in 0..600 {
        for number in 0..2 {
            let address = format!("2001:db8:7:{network:x}::{number}");
            let status = guess_from(&demo, &address, &format!("name{network}")).await;
            accepted += usize::from(status == 302);
        }
    }
    tell(&format!("guesses: 600 networks of one /48 make 1,200, and {accepted} count"));
    assert_eq!(accepted, 120);
}

#[tokio::test(start_paused = true)]
async fn distributed_guesses_at_one_name_are_limited() {
    let demo = demo();
    let mut accepted = 0;
    for network in 0..300 {
        let status = guess_from(&demo, &format!("2001:db8:{network:x}::1"), "admin").await;
        accepted += usize::from(status == 302);
    }
    assert_eq!(accepted, 100);
    // The limit of another name is not affected.
    assert_eq!(guess_from(&demo, "2001:db8:ffff::1", "other").await, 302);
    advance(Duration::from_secs(61)).await;
    assert_eq!(guess_from(&demo, "2001:db8:ffff::1", "admin").await, 302);
}

/// DNS rebinding: a page of another site resolves its own name to this machine, and sends
/// requests to the demo under that name.
#[tokio::test]
async fn on_loopback_the_demo_answers_for_loopback_names_only() {
    let server = serve(demo()).await;
    for (host, status) in [
        ("localhost:8888", 200),
        ("127.0.0.1", 200),
        ("[::1]:8888", 200),
        ("rebound.example", 421),
        ("localhost.rebound.example", 421),
        ("10.0.0.1", 421),
    ] {
        let head = format!("GET /hello HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let mut client = server.connect().await;
        client.send(head).await;
        assert_eq!(client.receive().await.status, status, "{host}");
    }
    let options = Options { address: IpAddr::from([0, 0, 0, 0]), ..Options::default() };
    assert!(options.hosts().is_empty(), "on other addresses any host is allowed");
}

#[tokio::test]
async fn hello_is_thirteen_bytes_and_no_session() {
    let server = serve(demo()).await;
    let reply = server.visitor().get("/hello").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "Hello, world!"));
    assert_eq!((reply.field("Set-Cookie"), reply.field("Vary")), (None, None));
}

#[tokio::test]
async fn an_error_page_looks_like_the_others() {
    let server = serve(demo()).await;
    let reply = server.visitor().get("/nothing?script").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("404 Not Found") && reply.text().contains("site.css"));
    assert!(reply.field("Content-Security-Policy").is_some());
}

#[tokio::test]
async fn the_root_redirects_to_the_main_page() {
    let server = serve(demo()).await;
    assert_eq!(server.visitor().get("/").await.field("Location"), Some("/main"));
}

#[test]
fn the_demo_listens_on_loopback_by_default() {
    let options = crate::demo::options::Options::default();
    assert!(options.address.is_loopback());
    assert_eq!(options.port, 8888);
}
