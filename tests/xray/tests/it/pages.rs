//! The pages of films, for browsers and for curl.

use dustdevil_xray::play;
use dustdevil_xray::program::transcripts_site;

use crate::support::{observe, observe_with_pages};

const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_and_curl_gets_text() {
    let server = observe_with_pages("kinds").await;
    let login = server.page("GET /login", BROWSER).await;
    assert!(login.contains("<a href=\"/xray/1\">"), "{login}");
    server.page("GET /hello", "*/*").await;
    for (path, page, text) in [
        ("/xray/1", "<code>GET /login</code></h1>", "film 1  GET /login  200"),
        ("/xray/", "<h1>Films", "/xray/2  GET /hello  200"),
        ("/xray/1+2", "<h1>Two at once", "route                /hello"),
        ("/xray/guide/request", "<p id=\"n1\">", "\n1. "),
    ] {
        let line = format!("GET {path}");
        let browser = server.page(&line, BROWSER).await;
        assert!(
            browser.contains("Content-Type: text/html") && browser.contains(page),
            "{browser}"
        );
        let curl = server.page(&line, "*/*").await;
        assert!(curl.contains("Content-Type: text/plain") && curl.contains(text), "{curl}");
        assert!(browser.contains("Vary: Accept") && curl.contains("Vary: Accept"));
    }
    for path in ["/xray/0", "/xray/99", "/xray/1+2+1", "/xray/x", "/xray/guide/x"] {
        let missing = server.page(&format!("GET {path}"), "*/*").await;
        assert!(missing.starts_with("HTTP/1.1 404 "), "{missing}");
    }
    // The pages themselves leave no film.
    let films = server.recorder.films().all();
    assert_eq!(films.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_player_sends_what_is_typed() {
    let server = observe_with_pages("typed").await;
    let form = "conversation=%3E+GET+/hello+HTTP/1.0%0A%3E+Cookie%3A+a%3Done%0A%3E%0A";
    let post = |fields: &str| {
        format!(
            "POST /play HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
    };
    let played = server.ask(&post("")).await;
    let played = String::from_utf8(played.received).unwrap();
    assert!(
        played.contains("&lt; HTTP/1.1 200 OK") && played.contains("Hello, world!"),
        "{played}"
    );
    assert!(played.contains("<code>GET /hello</code>"), "{played}");
    // The form keeps what was typed; the film and the conversation show no cookie.
    assert_eq!(played.matches("a=one").count(), 1, "{played}");
    // Another site cannot make a browser send it.
    let foreign = server.ask(&post("Sec-Fetch-Site: cross-site\r\n")).await;
    assert!(foreign.received.starts_with(b"HTTP/1.1 403 "));
    let rebound = "GET /play HTTP/1.1\r\nHost: example.com\r\n\r\n";
    assert!(!server.ask(rebound).await.received.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_sent_with_its_splits_and_pauses() {
    let server = observe(transcripts_site("pauses")).await;
    let text = "> GET /hel\\\n< wait\n> lo HTTP/1.1\n> Host: localhost\n>\n";
    let (_, peer) = play::play(text, server.address).await.unwrap();
    let films = server.recorder.films().of(peer).await;
    let received: Vec<usize> = films[0]
        .steps
        .iter()
        .filter(|step| step.name == "received")
        .filter_map(|step| step.input.as_ref().map(std::ops::Range::len))
        .collect();
    assert_eq!(
        received[..2],
        ["GET /hel".len(), "lo HTTP/1.1\r\nHost: localhost\r\n\r\n".len()]
    );
    assert_eq!(films[0].status, 200);
}
