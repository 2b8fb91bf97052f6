//! One film per message: what is sent together is split by its framing, and built-in handlers
//! show what they do.

use dustdevil::Film;
use dustdevil_xray::program::transcripts_site;
use dustdevil_xray::text;

use crate::support::{observe, observe_demo};

/// Returns the steps of a film as `name: detail`.
fn steps(film: &Film) -> Vec<String> {
    film.steps.iter().map(|step| format!("{}: {}", step.name, step.detail)).collect()
}

/// Fails unless the film has a step that begins so.
fn has(film: &Film, wanted: &str) {
    let found = steps(film).iter().any(|step| step.starts_with(wanted));
    assert!(found, "no {wanted:?} in\n{}", text::summary(film));
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_responses_without_content_are_split() {
    let server = observe(transcripts_site("split")).await;
    let request = |line: &str, fields: &str| {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
    };
    let requests = [
        request("HEAD /hello", ""),
        request("GET /status/204", ""),
        request("GET /note", "If-None-Match: *\r\n"),
        request("POST /echo", "Content-Length: 2\r\n") + "ab",
        request("GET /stream", ""),
        request("GET /hello", "Connection: close\r\n"),
    ];
    let conversation = server.ask(&requests.concat()).await;
    let seen: Vec<(u16, usize)> =
        conversation.films.iter().map(|film| (film.status, film.input.len())).collect();
    let lengths = requests.map(|request| request.len());
    let statuses = [200, 204, 304, 200, 200, 200];
    assert_eq!(seen, statuses.into_iter().zip(lengths).collect::<Vec<_>>());
    for film in &conversation.films {
        let output = String::from_utf8_lossy(&film.output);
        assert!(output.starts_with("HTTP/1.1 "), "{output}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), 1, "{output}");
    }
    // A stream is sent as it is made, and its end is in its film.
    assert!(conversation.films[4].output.ends_with(b"0\r\n\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interim_response_belongs_to_its_final_one() {
    let server = observe(transcripts_site("interim")).await;
    let head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
                Content-Length: 5\r\n\r\n";
    let conversation = server.ask_after(head, "100 Continue", "hello").await;
    let film = &conversation.films[0];
    let output = String::from_utf8_lossy(&film.output);
    assert!(output.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), "{output}");
    assert_eq!(film.status, 200);
    assert_eq!(film.steps.iter().filter(|step| step.name == "sent").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn built_in_handlers_show_what_they_do() {
    let server = observe_demo().await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let file = server.ask(&get("/static/robots.txt")).await;
    has(&file.films[0], "route: /static/{path...}");
    has(&file.films[0], "file: \"robots.txt\", in the cache: false");
    let again = server.ask(&get("/static/robots.txt")).await;
    has(&again.films[0], "file: \"robots.txt\", in the cache: true");
    let missing = server.ask(&get("/no-such-page")).await;
    has(&missing.films[0], "refused: 404 Not Found");
    has(&missing.films[0], "template: ");
    has(&missing.films[0], "response: 404 Not Found");
    let traversal = server.ask(&get("/static/../Cargo.toml")).await;
    has(&traversal.films[0], "refused: the path \"../Cargo.toml\" is not safe");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_is_one_step() {
    let server = observe(transcripts_site("one")).await;
    let request =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n";
    let conversation = server.ask(request).await;
    let film = &conversation.films[0];
    let refusals = film.steps.iter().filter(|step| step.name == "refused").count();
    assert_eq!(refusals, 1, "{}", text::summary(film));
}
