//! What holds for any input, tried with many that nobody thought of.

use bytes::BytesMut;
use dustdevil::http::chunked::{Decoder, LAST_CHUNK, push_size};
use dustdevil::http::connection;
use dustdevil::http::framing::Framing;
use dustdevil::http::notice::Notice;
use dustdevil::http::range::{self, Selection};
use dustdevil::http::response::Response;
use dustdevil::web::template::Template;
use dustdevil::{Limits, Method, Request, SetCookie, Status};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::task::yield_now;

use crate::support::settings;
use crate::transcripts;

/// Few cases, for they run with every `make test`; and no files where failures are remembered.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn how_octets_arrive_changes_no_answer(
        fragments in prop::collection::vec(fragment(), 1..12),
        lengths in prop::collection::vec(1..40usize, 1..12),
    ) {
        let mut octets = fragments.concat();
        // So that the last line is one. A line that breaks off may be wrong before it does.
        octets.extend(b"\r\n\r\n");
        let pieces = split(&octets, &lengths);
        let at_once = answers(&[&octets]);
        prop_assert!(!at_once.contains("HTTP/1.1 500"), "something panicked");
        prop_assert_eq!(at_once, answers(&pieces));
    }

    #[test]
    fn a_request_is_read_as_it_was_written(
        method in select(vec![Method::Get, Method::Post, Method::Delete, Method::Options]),
        path in "(/[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,8}(%[0-9a-fA-F]{2})?){1,4}",
        query in proptest::option::of("[a-zA-Z0-9._~=&%/?+-]{0,20}"),
        host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in prop::collection::vec(("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}", value()), 0..50),
        length in proptest::option::of(1..u64::MAX),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let target = query.iter().fold(path.clone(), |path, query| format!("{path}?{query}"));
        let mut octets =
            BytesMut::from(&*format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n"));
        for (name, value) in &fields {
            octets.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if let Some(length) = length {
            octets.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        octets.extend_from_slice(b"\r\n");
        octets.extend_from_slice(&behind);

        let parsed = Request::parse(&mut octets, &mut 0, &Limits::default());
        let request = parsed.expect("a request").expect("a whole head");
        prop_assert_eq!(request.method(), method);
        prop_assert_eq!(request.path(), path);
        prop_assert_eq!(request.query(), query.as_deref());
        prop_assert_eq!(request.authority(), Some(&*host));
        prop_assert_eq!(request.framing(), length.map_or(Framing::Empty, Framing::Length));
        let own = request.fields().filter(|(name, _)| name.starts_with(b"X-"));
        let own: Vec<_> = own
            .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.to_vec()))
            .collect();
        prop_assert_eq!(own, fields);
        prop_assert_eq!(&octets[..], behind);
    }

    #[test]
    fn chunks_are_put_together_again(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 0..10),
        lengths in prop::collection::vec(1..40usize, 1..12),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut octets = BytesMut::new();
        for chunk in &chunks {
            push_size(&mut octets, chunk.len());
            octets.extend_from_slice(chunk);
            octets.extend_from_slice(b"\r\n");
        }
        octets.extend_from_slice(LAST_CHUNK);
        octets.extend_from_slice(&behind);
        let (mut input, mut content) = (BytesMut::new(), BytesMut::new());
        let (mut decoder, mut is_whole) = (Decoder::default(), false);
        for piece in split(&octets, &lengths) {
            input.extend_from_slice(piece);
            is_whole = is_whole || decoder.decode(&mut input, &mut content).expect("chunks");
        }
        prop_assert!(is_whole);
        prop_assert_eq!(&content[..], chunks.concat());
        prop_assert_eq!(&input[..], behind);
    }

    #[test]
    fn no_field_holds_a_line_break(name in text(), value in text()) {
        let mut response = Response::new(Status::OK);
        let set = response.set_field(name.clone(), value.clone());
        let added = response.add_field(name.clone(), value.clone());
        prop_assert_eq!(&set, &added);
        prop_assert_eq!(response.fields().count(), if set.is_ok() { 2 } else { 0 });
        for (name, value) in response.fields() {
            prop_assert!(!breaks_a_line(name) && !breaks_a_line(value));
        }
    }

    #[test]
    fn no_cookie_holds_a_line_break_or_another_attribute(
        [name, value, path, domain] in [text(), text(), text(), text()],
    ) {
        let cookie = SetCookie::new(name, value).path(path).domain(domain);
        if let Ok(field) = cookie.to_field_value() {
            prop_assert!(!breaks_a_line(&field));
            // Path, Domain, HttpOnly and SameSite.
            prop_assert_eq!(field.matches(';').count(), 4);
        }
    }

    #[test]
    fn a_value_never_leaves_its_place_in_a_page(value in text()) {
        let template = Template::parse("page", "{{ value }}").expect("a template");
        let page = template.render(|_| Some(&value)).expect("the value is given");
        prop_assert!(!page.contains(['<', '>', '"', '\'']));
        let entities =
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&")];
        let shown =
            entities.iter().fold(page, |page, (entity, plain)| page.replace(entity, plain));
        prop_assert_eq!(shown, value);
    }

    #[test]
    fn a_range_lies_within_the_content(
        field in prop_oneof![text(), "bytes ?= ?[0-9]{0,21}-[0-9]{0,21}", "bytes=[0-9]{0,2}-[0-9]{0,2}"],
        length in prop_oneof![any::<u64>(), 0..100u64],
    ) {
        if let Selection::Part(part) = range::select(&field, length) {
            prop_assert!(part.start < part.end && part.end <= length);
        }
    }
}

/// A piece of a conversation: most often something that belongs in one.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let whole = select(vec![
        "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /broken-stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]);
    let line = select(vec![
        "GET /echo?name=dust HTTP/1.1\r\n",
        "PUT http://localhost/echo HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "POST /echo HTTP/1.0\r\n",
        "POST /nowhere HTTP/1.1\r\n",
        "BREW /hello HTTP/1.1\r\n",
        "Host: localhost\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Content-Length: 3\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\n",
        "5;note=any\r\nhello\r\n",
        "0\r\n",
        "\r\n",
    ]);
    let octet = select(vec!["\r", "\n", "\0", " ", "\t", ":", "%", "a"]);
    prop_oneof![
        4 => whole.prop_map(Vec::from),
        8 => line.prop_map(Vec::from),
        1 => octet.prop_map(Vec::from),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Text with more than its share of what means something to somebody.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z-]{1,8}", "[a-z=;,:&<>'\" \t\r\n\0\u{7f}é{}]{0,8}", any::<String>()]
}

/// The value of a field, with no white space at its ends.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![Just(b' '), Just(b'\t'), b'!'..=b'~', 0x80..=0xffu8];
    prop::collection::vec(octet, 0..20).prop_map(|value| value.trim_ascii().to_vec())
}

fn breaks_a_line(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}

/// Pieces of these lengths, again and again, until nothing is left.
fn split<'o>(mut octets: &'o [u8], lengths: &[usize]) -> Vec<&'o [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, rest) = octets.split_at((*length).min(octets.len()));
        pieces.push(piece);
        octets = rest;
        if octets.is_empty() {
            break;
        }
    }
    pieces
}

/// What comes back for octets that arrive in these pieces, without what depends on when they do.
fn answers(pieces: &[&[u8]]) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let application = transcripts::application(settings());
        let limits = &application.settings().limits;
        let (mut client, socket) = duplex(1024 * 1024);
        let notice = Notice::default();
        let peer = "127.0.0.1:50000".parse().expect("an address");
        let conversation = async move {
            for piece in pieces {
                // The server may have closed already.
                let _ = client.write_all(piece).await;
                yield_now().await;
            }
            let _ = client.shutdown().await;
            let mut answers = Vec::new();
            client.read_to_end(&mut answers).await.expect("answers");
            answers
        };
        let serving = connection::serve(socket, peer, &application, limits, &notice);
        let (answers, ()) = tokio::join!(conversation, serving);
        let answers =
            String::from_utf8_lossy(&answers).replace("HTTP/1.1 100 Continue\r\n\r\n", "");
        answers
            .lines()
            .filter(|line| !line.starts_with("Date: "))
            .collect::<Vec<_>>()
            .join("\n")
    })
}
