//! The pages of films in a real browser, with scripts disabled.

#[path = "../../it/webdriver.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod webdriver;

use std::net::SocketAddr;

use dustdevil::Recorder;
use dustdevil_xray::pages;
use dustdevil_xray::program::{
    demo_site, install_quiet_logger, loopback, transcripts_site,
};
use dustdevil_xray::serve::Server;
use webdriver::{Browser, wait_until};

/// Starts the demo under observation, with its pages and its player.
async fn start(name: &str) -> SocketAddr {
    // Fails for all tests but the first.
    let _ = install_quiet_logger();
    let recorder = Recorder::new(|_| {});
    let player = Server::listen(loopback(), transcripts_site(name), &recorder)
        .await
        .expect("a port");
    let pages = pages::application(&recorder, player.address).expect("the pages are whole");
    let site = demo_site().expect("the demo is whole").with_pages(pages);
    let server = Server::listen(loopback(), site, &recorder).await.expect("a port");
    let address = server.address;
    tokio::spawn(player.run());
    tokio::spawn(server.run());
    address
}

/// Clicks a link that leads to another place of the same page, and returns that place.
fn follow(browser: &Browser, selector: &str) -> String {
    browser.click(selector);
    let hash =
        || browser.execute("return location.hash").as_str().unwrap_or_default().to_owned();
    assert!(wait_until(|| !hash().is_empty()), "{selector} leads nowhere");
    let target = hash();
    let shown = format!(
        "return getComputedStyle(document.querySelector('{target}')).backgroundColor"
    );
    let shown = browser.execute(&shown);
    assert_ne!(shown.as_str(), Some("rgba(0, 0, 0, 0)"), "{target} is not marked");
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_leads_to_its_step_and_to_its_source_without_scripts() {
    let address = start("bytes").await;
    let Some(browser) = Browser::open_without_scripts(address) else { return };
    browser.visit("/login");
    browser.press(".quiet a");
    assert_eq!(browser.path(), "/xray/1");
    assert_eq!(browser.text("h1"), "GET /login");

    let step = follow(&browser, ".bytes a[title=\"method\"]");
    assert!(browser.text(&step).contains("head"), "{}", browser.text(&step));
    let source = follow(&browser, &format!("{step} > a"));
    assert!(
        browser.text(&source).contains("Request::parse_lines"),
        "{}",
        browser.text(&source)
    );
    assert!(browser.text(&format!("{source} mark")).contains("step!"));

    // The step has its place in a reading path.
    browser.press(&format!("{source} a[href^=\"/xray/guide/\"]"));
    assert_eq!(browser.path(), "/xray/guide/request");
    assert_eq!(browser.console(), Vec::<String>::new());
}

/// Opens a transcript, sends it, and follows the step that refuses it to its source: four clicks.
fn find_refusal(browser: &Browser, section: &str, transcript: &str) -> String {
    browser.visit("/play");
    browser.click(&format!("summary[title=\"{section}\"]"));
    browser.press(&format!("a[href=\"/play?transcript={section}/{transcript}\"]"));
    browser.press("button");
    let source = follow(browser, "li.refused > a");
    browser.text(&source)
}

#[tokio::test(flavor = "multi_thread")]
async fn four_clicks_lead_to_the_line_that_refuses_a_request() {
    let address = start("clicks").await;
    let Some(browser) = Browser::open_without_scripts(address) else { return };
    let length = find_refusal(&browser, "6-content", "content-length-signed");
    assert!(length.contains("FramingFields::content_length"), "{length}");
    let path = find_refusal(&browser, "files", "dots");
    assert!(path.contains("is_safe_path"), "{path}");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_films_are_shown_side_by_side() {
    let address = start("two").await;
    let Some(browser) = Browser::open_without_scripts(address) else { return };
    browser.visit("/hello");
    browser.visit("/login");
    browser.visit("/xray/");
    assert!(browser.text("table").contains("GET /hello"));
    browser.visit("/xray/1+2");
    assert!(browser.text("th:first-child").contains("/hello"));
    assert!(browser.text("th:last-child").contains('/'));
    assert_eq!(browser.console(), Vec::<String>::new());
}
