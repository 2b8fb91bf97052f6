//! The pages of films in a real browser, with scripts disabled.

use crate::support::observe_with_pages;
use crate::webdriver::{Browser, wait_until};

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
    let address = observe_with_pages("bytes").await.address;
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
    let address = observe_with_pages("clicks").await.address;
    let Some(browser) = Browser::open_without_scripts(address) else { return };
    let length = find_refusal(&browser, "6-content", "content-length-signed");
    assert!(length.contains("FramingFields::content_length"), "{length}");
    let path = find_refusal(&browser, "files", "dots");
    assert!(path.contains("is_safe_path"), "{path}");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_films_are_shown_side_by_side() {
    let address = observe_with_pages("two").await.address;
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
