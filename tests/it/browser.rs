//! The demo in a real browser.

use std::net::SocketAddr;

use dustdevil::{Application, Exchange, Method, RequestHandler, Result, Settings, handler};

use crate::support::{demo, serve};
use crate::webdriver::{Browser, wait_until};

/// Fills in the login form on the current page, and submits it.
fn log_in(browser: &Browser, password: &str) {
    browser.enter("#username", "admin");
    browser.enter("#password", password);
    browser.press("button");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_logs_in_looks_around_and_logs_out() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open(server.address) else { return };

    browser.visit("/");
    assert_eq!(browser.path(), "/login?next=%2Fmain");
    log_in(&browser, "123");
    assert_eq!(browser.path(), "/main");
    assert_eq!(browser.text("h1"), "this is main page");
    assert_eq!(browser.text("p strong"), "admin");
    assert_eq!(browser.text(".quiet strong"), "1");

    browser.reload();
    assert_eq!(browser.text("h1"), "this is main page");
    assert_eq!(browser.text(".quiet strong"), "2");

    browser.press("button");
    assert_eq!(browser.path(), "/login");
    browser.visit("/main");
    assert_eq!(browser.path(), "/login?next=%2Fmain");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_reported_once() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open(server.address) else { return };

    browser.visit("/login");
    assert_eq!(browser.text(".message"), "");
    log_in(&browser, "guess");
    assert_eq!(browser.path(), "/login");
    assert_eq!(browser.text(".message"), "Wrong username or password.");

    browser.reload();
    assert_eq!(browser.text(".message"), "");
    log_in(&browser, "123");
    assert_eq!(browser.path(), "/main");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_browser_console_shows_no_errors() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open(server.address) else { return };

    browser.visit("/login");
    log_in(&browser, "guess");
    log_in(&browser, "123");
    browser.reload();
    browser.press("button");
    assert_eq!(browser.console(), [""; 0]);

    // The Content-Security-Policy forbids this, so the console reports it.
    browser.execute("document.body.setAttribute('style', 'color: red')");
    let is_violation = |line: &String| line.contains("Content Security Policy");
    assert!(wait_until(|| browser.console().iter().any(is_violation)));

    browser.visit("/favicon.ico");
    assert_eq!(browser.property("img", "naturalWidth"), 32);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_works_without_javascript() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open_without_scripts(server.address) else { return };

    browser.go("data:text/html,<p>off</p><script>document.body.innerText = 'on'</script>");
    assert_eq!(browser.text("body"), "off");

    browser.visit("/login");
    log_in(&browser, "guess");
    assert_eq!(browser.text(".message"), "Wrong username or password.");
    log_in(&browser, "123");
    assert_eq!(browser.text("h1"), "this is main page");
    browser.press("button");
    assert_eq!(browser.path(), "/login");
    server.stop().await;
}

/// `HttpOnly`: a script that was injected by XSS cannot steal the session id.
#[tokio::test(flavor = "multi_thread")]
async fn scripts_cannot_read_the_cookies() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open(server.address) else { return };

    browser.visit("/login");
    let mark = browser.cookie("_xsrf");
    log_in(&browser, "123");
    let session = browser.cookie("session_id");
    assert_eq!(browser.execute("return document.cookie"), "");
    for cookie in [mark, session] {
        assert_eq!(cookie["httpOnly"], true, "{cookie}");
        assert_eq!(cookie["sameSite"], "Lax", "{cookie}");
    }
    server.stop().await;
}

/// After a logout, the back button must not show a page from the browser's cache:
/// `Cache-Control: no-store`.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_after_logging_out_ends_at_the_login() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open(server.address) else { return };

    browser.visit("/login");
    log_in(&browser, "123");
    browser.press("button");

    browser.go_back();
    assert_eq!(browser.path(), "/login?next=%2Fmain");
    assert_eq!(browser.text("h1"), "Dustdevil");
    browser.reload();
    assert_eq!(browser.path(), "/login?next=%2Fmain");
    server.stop().await;
}

/// A page of an attacker, with a button that submits a hidden form.
struct TrapHandler;

/// The address of the site that the form targets.
struct Victim(SocketAddr);

impl RequestHandler for TrapHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let victim = exchange.state::<Victim>()?.0;
        exchange.write(format!(
            "<form method=post action=http://{victim}/logout><button>Win a prize</button></form>"
        ))
    }
}

/// Cross-site request forgery with a real browser: the form is on another origin, and its
/// button looks harmless.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_on_another_site_cannot_log_a_user_out() {
    let server = serve(demo()).await;
    let Some(browser) = Browser::open(server.address) else { return };
    let trap = Application::new([("/", handler::<TrapHandler>)], Settings::default());
    let trap = serve(trap.expect("one route").state(Victim(server.address))).await;

    browser.visit("/login");
    log_in(&browser, "123");
    // For a browser `localhost` is another site than 127.0.0.1. Another port is the same site,
    // so its forms send the cookie, but it is another origin.
    for host in ["localhost", "127.0.0.1"] {
        browser.go(&format!("http://{host}:{}/", trap.address.port()));
        browser.press("button");
        assert_eq!(browser.text("h1"), "403 Forbidden");
        assert_eq!(browser.text("p"), "Cross-site request rejected.");
        browser.visit("/main");
        assert_eq!(browser.text("h1"), "this is main page");
    }
    trap.stop().await;
    server.stop().await;
}
