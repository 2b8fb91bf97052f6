//! Films are true: their bytes are those of the wire, their places are in the source, and being
//! observed changes nothing.

use std::collections::HashSet;
use std::fs;

use dustdevil::mask::MASK;
use dustdevil::{Film, Layer, MAX_FILM_BYTES, MAX_FILMS};
use dustdevil_xray::program::transcripts_site;
use dustdevil_xray::steps::{Step, steps};
use dustdevil_xray::support::project;
use dustdevil_xray::{pages, text, transcripts};

use crate::support::{Conversation, log_in, observe, observe_demo};

/// Fails unless each byte of a film that is not masked is the byte of the wire.
fn same(film: &[u8], wire: &[u8], what: &str) {
    let differs = |(film, wire): (&u8, &u8)| film != wire && *film != MASK;
    assert!(film.len() <= wire.len(), "{what}: {} of {}", film.len(), wire.len());
    assert_eq!(film.iter().zip(wire).position(differs), None, "{what}");
}

fn check_bytes(conversation: &Conversation, name: &str) {
    let (mut received, mut sent) = (0, 0);
    for film in &conversation.films {
        assert_eq!((film.input_offset, film.output_offset), (received, sent), "{name}");
        let is_whole = film.left_out == 0;
        same(&film.input, &conversation.sent[received..], name);
        same(
            &film.output,
            &conversation.received[sent.min(conversation.received.len())..],
            name,
        );
        assert!(is_whole, "{name}: {} left out", film.left_out);
        received += film.input.len();
        sent += film.output.len();
    }
    assert_eq!(sent, conversation.received.len(), "{name}: bytes sent");
}

/// Returns `true` if a film has a refusal exactly if its response is an error.
fn refusals_are_true(film: &Film) -> bool {
    let is_refused = film.steps.iter().any(|step| step.name == "refused");
    let is_error = (400..500).contains(&film.status);
    is_refused == is_error || film.status == 0 || film.status >= 500
}

/// Divides the bytes of a conversation into other writes.
type Delivery = fn(&[Vec<u8>]) -> Vec<Vec<u8>>;

/// The ways in which the bytes of a conversation are delivered.
const DELIVERIES: [Delivery; 3] = [
    // As the transcript says.
    <[Vec<u8>]>::to_vec,
    // All in one write: the requests are pipelined.
    |writes| vec![writes.concat()],
    // In pieces of seven bytes.
    |writes| writes.concat().chunks(7).map(<[u8]>::to_vec).collect(),
];

/// Plays all transcripts in one delivery, and returns the number of films.
async fn check_all(name: &str, deliver: Delivery) -> usize {
    let server = observe(transcripts_site(name)).await;
    let mut films = 0;
    for (path, text) in transcripts::transcripts() {
        let path = path.display().to_string();
        let sent = steps(&text).unwrap().into_iter().filter_map(|(_, step)| match step {
            Step::Send(bytes) => Some(bytes),
            _ => None,
        });
        let writes: Vec<Vec<u8>> = deliver(&sent.collect::<Vec<_>>());
        if writes.concat().len() > MAX_FILM_BYTES / 8 {
            continue;
        }
        let writes: Vec<&[u8]> = writes.iter().map(|bytes| &bytes[..]).collect();
        let conversation = server.send(&writes).await;
        check_bytes(&conversation, &path);
        for film in &conversation.films {
            assert!(refusals_are_true(film), "{path}\n{}", text::summary(film));
        }
        films += conversation.films.len();
    }
    films
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_in_a_film_are_the_bytes_on_the_wire() {
    let [first, second, third] = DELIVERIES;
    let (first, second, third) = tokio::join!(
        tokio::spawn(check_all("bytes", first)),
        tokio::spawn(check_all("pipelined", second)),
        tokio::spawn(check_all("pieces", third)),
    );
    let films = first.unwrap() + second.unwrap() + third.unwrap();
    println!("{films} films");
    assert!(films > 1500, "only {films} films");
}

#[tokio::test(flavor = "multi_thread")]
async fn being_observed_changes_nothing() {
    let server = observe(transcripts_site("unchanged").without_field()).await;
    let mut failures = Vec::new();
    for (path, text) in transcripts::transcripts() {
        failures.extend(transcripts::hold(&path, &text, server.address).await.err());
    }
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

/// Returns the lines of the innermost function of this name around a line.
fn lies_in_function(file: &str, function: &str, line: usize) -> bool {
    let source = fs::read_to_string(project(file)).unwrap();
    let name = function.rsplit("::").next().unwrap();
    let lines: Vec<&str> = source.lines().collect();
    let begins = lines[..line.min(lines.len())].iter().rposition(|text| {
        let text = text.trim_start();
        text.contains(&format!("fn {name}(")) || text.contains(&format!("fn {name}<"))
    });
    let Some(begins) = begins else { return false };
    let indent = |text: &str| text.len() - text.trim_start().len();
    let depth = indent(lines[begins]);
    let ends = lines[begins..].iter().position(|text| {
        indent(text) == depth
            && *text != lines[begins]
            && text.trim_start().starts_with('}')
    });
    ends.is_none_or(|length| line <= begins + length + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_place_in_a_film_is_in_the_source() {
    let server = observe_demo().await;
    let mut places = HashSet::new();
    let mut wrong = Vec::new();
    for conversation in log_in(&server).await {
        for film in &conversation.films {
            for frame in film.steps.iter().flat_map(|step| &step.frames) {
                let place = (frame.file.clone(), frame.line, frame.function.clone());
                if places.insert(place) {
                    let is_in =
                        lies_in_function(&frame.file, &frame.function, frame.line as usize);
                    if !is_in {
                        wrong.push(format!(
                            "{} {}:{}",
                            frame.function, frame.file, frame.line
                        ));
                    }
                }
            }
        }
    }
    println!("{} places", places.len());
    assert!(places.len() > 50, "only {} places", places.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_come_in_tornados_order() {
    let server = observe_demo().await;
    let conversations = log_in(&server).await;
    let names = |conversation: &Conversation| -> Vec<String> {
        let steps = conversation.films[0].steps.iter();
        steps.map(|step| step.name.clone()).collect()
    };
    let in_order = |names: &[String], wanted: &[&str]| {
        let mut names = names.iter();
        for name in wanted {
            assert!(names.any(|other| other == name), "{name} is missing, or too early");
        }
    };
    let hooks = ["received", "head", "framing", "route", "initialize"];
    let end = ["cookie", "on_finish", "response", "sent"];
    let get = [&hooks[..], &["prepare", "get", "template"], &end].concat();
    in_order(&names(&conversations[0]), &get);
    let post =
        [&hooks[..], &["content", "origin", "token", "prepare", "post"], &end].concat();
    in_order(&names(&conversations[1]), &post);
    let main =
        [&hooks[..], &["prepare", "get", "store visit", "store add", "template"], &end];
    in_order(&names(&conversations[2]), &main.concat());
    // No step is before the one that is shown above it.
    for film in conversations.iter().flat_map(|conversation| &conversation.films) {
        assert!(film.steps.is_sorted_by_key(|step| step.sequence));
        assert!(film.steps.is_sorted_by_key(|step| step.at), "{}", text::summary(film));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn films_are_bounded() {
    let server = observe(transcripts_site("bounded")).await;
    let request = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let conversation = server.ask(&request.repeat(MAX_FILMS + 10)).await;
    assert_eq!(conversation.films.len(), MAX_FILMS);
    assert_eq!(conversation.films[0].id, 11);
    let length = 2 * MAX_FILM_BYTES;
    let head = format!(
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
    );
    let large = server.ask(&(head + &"x".repeat(length))).await;
    let film = large.films.last().expect("a film");
    println!("{} bytes, {} left out", film.bytes(), film.left_out);
    assert!(film.bytes() <= MAX_FILM_BYTES && film.left_out > MAX_FILM_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_head_leads_to_the_line_that_refuses_it() {
    let server = observe(transcripts_site("refused")).await;
    for (request, function) in [
        (
            "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nhello",
            "FramingFields::content_length",
        ),
        ("GET /hello\r\n\r\n", "request_line"),
    ] {
        let conversation = server.ask(request).await;
        let film = conversation.films.last().expect("a film");
        let refused = film.steps.iter().find(|step| step.name == "refused");
        let frame = refused.and_then(|step| step.frames.last()).expect("a place");
        assert_eq!(frame.function, function, "{request:?}");
        assert_eq!(film.status, 400, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_films_have_the_policy_of_the_demo() {
    let server = observe_demo().await;
    let hello = server.ask("GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let hello = String::from_utf8(hello.received).unwrap();
    assert!(hello.contains(&format!("Content-Security-Policy: {}\r\n", pages::POLICY)));
    assert!(hello.contains("X-Ray: /xray/1\r\n"), "{hello}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_layer_has_its_steps() {
    let server = observe_demo().await;
    let conversations = log_in(&server).await;
    let steps = conversations.iter().flat_map(|conversation| &conversation.films[0].steps);
    let seen: Vec<Layer> = steps.map(|step| step.layer).collect();
    for layer in Layer::ALL {
        assert!(seen.contains(&layer), "{}", layer.name());
    }
}
