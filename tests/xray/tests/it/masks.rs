//! No secret is in a film: not in its bytes, not in its steps, not in its log lines.

use std::sync::Arc;

use dustdevil::mask::masked;
use dustdevil::{
    Application, Error, Exchange, RequestHandler, Result, Settings, handler, methods,
};
use dustdevil_xray::program::transcripts_site;
use dustdevil_xray::serve::Site;
use dustdevil_xray::{html, text};

use crate::support::{log_in, observe, observe_demo};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_film() {
    let server = observe_demo().await;
    let conversations = log_in(&server).await;
    let wire: String = conversations
        .iter()
        .map(|conversation| {
            let bytes = [&conversation.sent[..], &conversation.received].concat();
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .collect();
    // The ids and tokens: each run of at least 32 hexadecimal digits on the wire.
    let secrets: Vec<&str> = wire
        .split(|character: char| !character.is_ascii_hexdigit())
        .filter(|run| run.len() >= 32)
        .collect();
    assert!(secrets.len() >= 4, "{secrets:?}");
    for film in conversations.iter().flat_map(|conversation| &conversation.films) {
        let all = format!(
            "{:?} {} {} {}",
            film.steps,
            text::whole(film),
            html::film(film, ""),
            String::from_utf8_lossy(&[&film.input[..], &film.output].concat())
        );
        for secret in &secrets {
            assert!(!all.contains(secret), "{secret} in the film of {}", film.title);
        }
        assert!(!all.contains("password=1"), "the password in the film of {}", film.title);
    }
}

/// Fails unless the text is masked without a change of length, and has none of the secrets.
fn check(text: &str, secrets: &[&str]) {
    let masked = masked(text);
    assert_eq!(masked.len(), text.len());
    for secret in secrets {
        assert!(!masked.contains(secret), "{secret} in {masked}");
    }
}

#[test]
fn fields_arguments_parts_and_json_are_masked() {
    let authorization =
        "GET /hello?token=abc&page=2 HTTP/1.1\r\nAuthorization: Basic YWRtaW46MTIz\r\n\r\n";
    check(authorization, &["abc", "YWRtaW46MTIz", "Basic"]);
    assert!(masked(authorization).contains("&page=2 HTTP/1.1"));
    check(
        "GET / HTTP/1.1\r\nCookie: a=one; b=\"two\"; three\r\n\r\n",
        &["one", "two", "three"],
    );
    check("HTTP/1.1 200 OK\r\nSet-Cookie: id=one; Path=/; HttpOnly\r\n\r\n", &["one"]);
    check(
        "POST / HTTP/1.1\r\nX-CSRFToken: one\r\n\r\nuser%5Fpass%77ord=two+three&a=b",
        &["one", "two"],
    );
    let part = "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n\
                --x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\none\r\ntwo\r\n\
                --x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nshown\r\n--x--\r\n";
    check(part, &["one", "two"]);
    assert!(masked(part).contains("shown"));
    check(
        "POST / HTTP/1.1\r\n\r\n{\"new_password\": \"o\\\"ne\", \"token\":\"two\"}",
        &["ne\"", "two"],
    );
    // Empty lines before the head, an interim response, trailers, and a folded line.
    check(
        "\r\n\r\nGET / HTTP/1.1\r\nAuthorization: Bearer\r\n one\r\n\r\n",
        &["Bearer", "one"],
    );
    check(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nSet-Cookie: a=one\r\n\r\n",
        &["one"],
    );
    check("POST / HTTP/1.1\r\n\r\n0\r\nCookie: a=one\r\n\r\n", &["one"]);
    // A URL within a URL, once and twice encoded.
    check("Location: /login?next=%2Fmain%3Fpassword%3Done\r\n", &["one"]);
    check("Location: /login?next=%252Fmain%253Fpassword%253Done\r\n", &["one"]);
    // A form whose value has a space and a quote.
    check(
        "POST / HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\npassword=a one\"two<three&b=c",
        &["one", "two", "three"],
    );
    check(
        "POST / HTTP/1.1\r\n\r\n{\"password\" : \"one\", \"token\": 12345, \"secret\": [\"two\"]}",
        &["one", "12345", "two"],
    );
    check(
        "POST / HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n\
         Content-Disposition: form-data; NAME = password\r\n\r\none\r\n--two\r\n--x--\r\n",
        &["one", "two"],
    );
    // A conversation in the notation of the transcripts.
    check(
        "> GET / HTTP/1.1\n> Cookie: id=one\n>\n< Set-Cookie: id=two; Secure\n",
        &["one", "two"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_part_of_an_upload_is_masked() {
    let server = observe(transcripts_site("upload")).await;
    let content = "--x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n\
                   --x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\n\
                   shown\r\n--x--\r\n";
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {}\r\n\r\n{content}",
        content.len()
    );
    let conversation = server.ask(&request).await;
    let film = &conversation.films[0];
    assert_eq!(film.input.len(), request.len());
    for bytes in [&film.input, &film.output] {
        let shown = String::from_utf8_lossy(bytes);
        assert!(shown.contains("shown") && !shown.contains("hunter2"), "{shown}");
    }
}

/// A handler whose error has a password and a token in its text.
struct FailingHandler;

impl RequestHandler for FailingHandler {
    methods!(Get);

    async fn get(&mut self, _exchange: &mut Exchange) -> Result {
        Err(Error::other("cannot open db?user=me&password=hunter2 token=0123456789"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_in_a_film_is_masked() {
    let application =
        Application::new([("/fail", handler::<FailingHandler>)], Settings::default());
    let application = application.unwrap();
    let server = observe(Site::new(application)).await;
    let failed =
        server.ask("GET /fail?secret=hunter2 HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let film = Arc::clone(&failed.films[0]);
    let lines: Vec<&str> = film
        .steps
        .iter()
        .filter(|step| step.name == "log")
        .map(|step| &*step.detail)
        .collect();
    assert!(lines.iter().any(|line| line.contains("cannot open")), "{lines:?}");
    let all = format!("{:?}{}{}", film.steps, film.title, html::film(&film, ""));
    assert!(!all.contains("hunter2") && !all.contains("0123456789"), "{lines:?}");
}
