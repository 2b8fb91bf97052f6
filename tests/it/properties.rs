//! Property tests: statements that hold for any input, checked with random inputs.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use dustdevil::http::chunked::{Decoder, LAST_CHUNK, push_size};
use dustdevil::http::cookie;
use dustdevil::http::framing::Framing;
use dustdevil::http::range::{self, Selection};
use dustdevil::http::response::Response;
use dustdevil::web::multipart;
use dustdevil::web::template::Template;
use dustdevil::web::xsrf::Secret;
use dustdevil::{Error, Limits, Method, Request, SetCookie, Settings, Status};
use proptest::prelude::*;
use proptest::sample::select;

use crate::oracle::{Oracle, Sending};
use crate::support::project;

/// Few cases, because they run with every `make test`, and no files of past failures.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(4096))]

    /// TCP is a stream: a request may arrive in any pieces. A parser that decides too early, or
    /// that looks again at bytes that it has consumed, gives itself away here.
    #[test]
    fn how_bytes_arrive_changes_no_response(
        fragments in prop::collection::vec(fragment(), 1..12),
        lengths in prop_oneof![
            3 => prop::collection::vec(1..40usize, 1..12),
            1 => Just(vec![1]),
        ],
        waits in any::<bool>(),
    ) {
        let mut bytes = fragments.concat();
        // Ends most inputs with a complete last line.
        bytes.extend(b"\r\n\r\n");
        let sending = Sending { bytes: &bytes, lengths: &lengths, waits };
        let oracle = Oracle::new(project("static"));
        prop_assert_eq!(oracle.examine(&sending), Ok(()));
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_request_is_read_as_it_was_written(
        method in select(vec![Method::Get, Method::Post, Method::Delete, Method::Options]),
        path in "(/[a-zA-Z0-9._~!$&'()*+,;=:@-]{0,8}(%[0-9a-fA-F]{2})?){1,4}",
        query in proptest::option::of("[a-zA-Z0-9._~=&%/?+-]{0,20}"),
        host in "[a-z0-9.-]{1,20}(:[0-9]{1,4})?",
        fields in prop::collection::vec(("X-[A-Za-z0-9!#$%&'*+.^_`|~-]{0,12}", value()), 0..50),
        length in proptest::option::of(1..u64::MAX),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let target = query.iter().fold(path.clone(), |path, query| format!("{path}?{query}"));
        let mut bytes =
            BytesMut::from(&*format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n"));
        for (name, value) in &fields {
            bytes.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if let Some(length) = length {
            bytes.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&rest);

        let parsed = Request::parse(&mut bytes, &mut 0, &Limits::default());
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
        prop_assert_eq!(&bytes[..], rest);
    }

    #[test]
    fn chunks_are_put_together_again(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..100), 0..10),
        lengths in prop::collection::vec(1..40usize, 1..12),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = BytesMut::new();
        for chunk in &chunks {
            push_size(&mut bytes, chunk.len());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(LAST_CHUNK);
        bytes.extend_from_slice(&rest);
        let (mut input, mut content) = (BytesMut::new(), Vec::new());
        let (mut decoder, mut is_whole) = (Decoder::default(), false);
        for piece in split(&bytes, &lengths) {
            input.extend_from_slice(piece);
            is_whole = is_whole || decoder.decode(&mut input, &mut content).expect("chunks");
        }
        prop_assert!(is_whole);
        prop_assert_eq!(&content[..], chunks.concat());
        prop_assert_eq!(&input[..], rest);
    }

    #[test]
    fn an_upload_is_read_as_it_was_written(parts in prop::collection::vec(part(), 0..8)) {
        let written: Vec<Vec<u8>> = parts.iter().map(Part::write).collect();
        let form = [&written.concat(), &b"--"[..], BOUNDARY, b"--\r\n"].concat();
        let form = parse_form(form).expect("a form");
        let (arguments, files): (Vec<&Part>, Vec<&Part>) =
            parts.iter().partition(|part| part.is_argument());
        for argument in &arguments {
            let values: Vec<&[u8]> = form.arguments.values(&argument.name).collect();
            let same_name = arguments.iter().filter(|other| other.name == argument.name);
            let expected: Vec<&[u8]> = same_name.map(|other| &other.body[..]).collect();
            prop_assert_eq!(values, expected);
        }
        prop_assert_eq!(form.files.len(), files.len());
        for (found, part) in form.files.iter().zip(files) {
            prop_assert_eq!(&found.name, &part.name);
            prop_assert_eq!(Some(&found.filename), part.filename.as_ref());
            prop_assert_eq!(&found.body, &part.body);
        }
    }

    #[test]
    fn any_bytes_are_a_form_or_an_error(
        pieces in prop::collection::vec(piece_of_a_form(), 0..16),
        content_type in prop_oneof![
            9 => Just(String::from("multipart/form-data; boundary=b")),
            1 => text().prop_map(|text| format!("multipart/form-data; boundary={text}")),
        ],
    ) {
        let content = Bytes::from(pieces.concat());
        match multipart::parse(&content_type, &content, &Settings::default()) {
            Ok(form) => {
                let length: usize = form.files.iter().map(|file| file.body.len()).sum();
                prop_assert!(length <= content.len());
            }
            Err(error) => prop_assert!(matches!(error, Error::Http(_)), "{:?}", error),
        }
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

    /// Quotes a value as Python's `http.cookies` does (`_quote`).
    #[test]
    fn a_cookie_that_python_quoted_is_read_as_it_was_set(
        value in prop_oneof![text(), "[a-z0-9 ;,\"\\\\]{0,12}"],
        pieces in prop::collection::vec("[ -~]{0,4}", 0..8),
    ) {
        let latin: String = value.chars().filter(|code| *code <= '\u{ff}').collect();
        let quote = |code: char| match code {
            '"' | '\\' => format!("\\{code}"),
            ' ' | ';' | ',' | '\0'..='\u{1f}' | '\u{7f}'.. => {
                format!("\\{:03o}", u32::from(code))
            }
            _ => String::from(code),
        };
        let quoted: String = latin.chars().map(quote).collect();
        let field = format!("b=1; a=\"{quoted}\"; c=2");
        let read: Vec<_> = cookie::values(field.as_bytes(), "a").collect();
        prop_assert_eq!(read, [latin]);
        // Whatever is between the quotes, it is never longer than it was sent.
        let field = format!("a=\"{}\"", pieces.concat().replace(';', "\\"));
        let longest = cookie::values(field.as_bytes(), "a").map(|value| value.len()).max();
        prop_assert!(longest.unwrap_or_default() <= field.len());
    }

    #[test]
    fn a_signed_cookie_is_read_as_it_was_set_and_no_changed_one_is_read(
        name in "[a-zA-Z0-9_.-]{1,8}",
        value in text(),
        seconds in 0..4_000_000_000u64,
        at in any::<prop::sample::Index>(),
        change in "[ -~]?",
    ) {
        let secret = Secret::new(&[7; 32]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let signed = secret.seal(&name, &value, now);
        prop_assert!(SetCookie::new(&*name, &*signed).to_field_value().is_ok());
        let day = Duration::from_secs(86_400);
        prop_assert_eq!(secret.open(&name, &signed, now, day), Some(value));
        prop_assert_eq!(secret.open(&format!("{name}x"), &signed, now, day), None);
        let mut changed = signed.clone();
        let at = at.index(signed.len());
        changed.replace_range(at..=at, &change);
        if changed != signed {
            prop_assert_eq!(secret.open(&name, &changed, now, day), None);
        }
    }

    #[test]
    fn a_template_value_never_changes_the_structure_of_the_page(value in text()) {
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

/// Generates a part of a request line or field line, usually a valid one.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let byte = select(vec![
        "\r",
        "\n",
        "\0",
        " ",
        "\t",
        ":",
        "%",
        "a",
        "\r\n",
        "\r\n\r\n\r\n\r\n\r\n",
    ]);
    prop_oneof![
        12 => request(),
        2 => request_line().prop_map(Vec::from),
        2 => field().prop_map(Vec::from),
        2 => content().prop_map(Vec::from),
        1 => byte.prop_map(Vec::from),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Generates something similar to a request. Most request smuggling uses a field that two
/// parsers read differently, so there are few fields, and most of them are suspicious.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let host = prop_oneof![9 => Just("Host: localhost\r\n"), 1 => Just("")];
    let framed = prop_oneof![
        3 => Just(("", "")),
        1 => (Just(""), content()),
        1 => Just(("Content-Length: 5\r\n", "hello")),
        1 => Just(("Content-Length: 101\r\n", ONE_TOO_MANY)),
        1 => Just(("Content-Length: 50\r\n", "hello")),
        1 => Just(("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello")),
        3 => (Just("Transfer-Encoding: chunked\r\n"), content()),
    ];
    let others = prop::collection::vec(field(), 0..2);
    let end = prop_oneof![19 => Just("\r\n"), 1 => Just("\n")];
    (request_line(), host, framed, others, end).prop_map(
        |(line, host, (framing, content), others, end)| {
            [line, host, framing, &others.concat(), end, content].concat().into_bytes()
        },
    )
}

/// One byte more than the limit of the oracle's application.
const ONE_TOO_MANY: &str = "0123456789012345678901234567890123456789012345678901234567890123456789\
    0123456789012345678901234567890";

fn request_line() -> impl Strategy<Value = &'static str> {
    let usual = select(vec![
        "GET /hello HTTP/1.1\r\n",
        "PUT /echo HTTP/1.1\r\n",
        "HEAD /stream HTTP/1.1\r\n",
        "POST /echo HTTP/1.1\r\n",
        "POST /stream HTTP/1.1\r\n",
        "POST /echo HTTP/1.0\r\n",
    ]);
    let unusual = select(vec![
        "GET /broken-stream HTTP/1.1\r\n",
        "GET /echo?name=dust HTTP/1.1\r\n",
        "GET /echo?name=dust%0d%0aX:%20devil HTTP/1.1\r\n",
        "GET /hello?name=%0d%0a%0d%0aHTTP/1.1%20200%20OK%0d%0a HTTP/1.1\r\n",
        "GET /robots.txt HTTP/1.1\r\n",
        "PUT http://localhost/echo HTTP/1.1\r\n",
        "GET HTTPS://localhost?name=dust HTTP/1.1\r\n",
        "GET http://elsewhere/echo HTTP/1.1\r\n",
        "GET http://user@localhost/echo HTTP/1.1\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "GET /stream HTTP/1.0\r\n",
        "HEAD /stream HTTP/1.0\r\n",
        "POST /hello HTTP/1.1\r\n",
        "POST /nowhere HTTP/1.1\r\n",
        "HEAD /nowhere HTTP/1.1\r\n",
        "BREW /hello HTTP/1.1\r\n",
        "HEAD  /hello HTTP/1.1\r\n",
        "GET /hello HTTP/1.1 \r\n",
        "GET /hello HTTP/1.1\n",
        "GET /hello\tHTTP/1.1\r\n",
        "GET /hello HTTP/2.0\r\n",
        "GET /hello\r\n",
    ]);
    prop_oneof![3 => usual, 1 => unusual]
}

fn field() -> impl Strategy<Value = &'static str> {
    let framing = select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 0\r\n",
        "Content-Length: 005\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 5 3\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551621\r\n",
        "Content-Length : 5\r\n",
        "content-length: 5\r\n",
        "Content-Length: 5\nX: y\r\n",
        "Content-Length: 5\rX: y\r\n",
        "X: y\r\n Content-Length: 5\r\n",
        "X: y\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: CHUNKED\t\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer_Encoding: chunked\r\n",
    ]);
    let other = select(vec![
        "Host: localhost\r\n",
        "Host: elsewhere\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Connection: x,Close , y\r\n",
        "Connection: Transfer-Encoding, Content-Length\r\n",
        "Expect: 100-continue\r\n",
        "Expect: , 100-continue,\r\n",
        "Expect:\r\n",
        "Expect: 200-ok\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=b\r\n",
        "Origin: http://elsewhere\r\n",
        "Range: bytes=1-3\r\n",
        "Range: bytes=-3\r\n",
        "Range: bytes=99-\r\n",
        "If-Range: \"other\"\r\n",
        "If-None-Match: *\r\n",
        "If-Match: \"other\"\r\n",
        "If-Modified-Since: Fri, 06 Nov 2093 08:49:37 GMT\r\n",
        "X: \t y z \t\r\n",
        "X:\r\n",
        "X: \0\r\n",
        "X Y: z\r\n",
        ": x\r\n",
        "\u{e9}: \u{e9}\r\n",
        "X: \u{e9}\r\n",
    ]);
    prop_oneof![1 => framing, 1 => other]
}

/// A part of a form, and the way in which its client writes names.
#[derive(Clone, Debug)]
struct Part {
    name: String,
    filename: Option<String>,
    body: Vec<u8>,
    notation: Notation,
}

#[derive(Clone, Copy, Debug)]
enum Notation {
    /// Browsers percent-encode quotes and line breaks.
    Percent,
    /// Go escapes quotes and backslashes.
    Escaped,
    /// RFC 8187.
    Extended,
}

const BOUNDARY: &[u8] = b"boundary";

impl Part {
    /// Returns `true` if it has no file, or is a file input without a choice.
    fn is_argument(&self) -> bool {
        self.filename.as_ref().is_none_or(|name| name.is_empty() && self.body.is_empty())
    }

    fn write(&self) -> Vec<u8> {
        let mut head = format!(
            "Content-Disposition: form-data; {}",
            self.parameter("name", &self.name)
        );
        if let Some(filename) = &self.filename {
            head.push_str(&format!("; {}", self.parameter("filename", filename)));
        }
        [b"--", BOUNDARY, b"\r\n", head.as_bytes(), b"\r\n\r\n", &self.body, b"\r\n"]
            .concat()
    }

    fn parameter(&self, name: &str, value: &str) -> String {
        let encoded = match self.notation {
            Notation::Escaped => value.replace('\\', r"\\").replace('"', "\\\""),
            // Only the file name has this form.
            Notation::Extended if name == "filename" => {
                return format!("{name}*=UTF-8''{}", dustdevil::escape::url(value));
            }
            Notation::Percent | Notation::Extended => value.replace('"', "%22"),
        };
        format!("{name}=\"{}\"", encoded.replace('\r', "%0D").replace('\n', "%0A"))
    }
}

fn part() -> impl Strategy<Value = Part> {
    // A browser's name loses one of two backslashes, because Go doubles each.
    let name =
        || "[ab\"\\\\%;=*' \r\né\u{438}]{0,8}".prop_map(|name| name.replace(r"\\", r"\ "));
    let body = prop_oneof![
        select(vec!["", "\r\n", "\r\n--", "--boundary", "\r\n--boundar", "\r\n\r\n"])
            .prop_map(Vec::from),
        prop::collection::vec(any::<u8>(), 0..20),
    ];
    let body = prop::collection::vec(body, 0..4).prop_map(|pieces| pieces.concat());
    // A client chooses a boundary that begins no line of the body, nor the body itself.
    let body = body.prop_filter("a line begins with the boundary", |body| {
        let line = [b"\r\n", body.as_slice()].concat();
        !line.windows(12).any(|window| window == b"\r\n--boundary")
    });
    let notation = select(vec![Notation::Percent, Notation::Escaped, Notation::Extended]);
    (name(), proptest::option::of(name()), body, notation).prop_map(
        |(name, filename, body, notation)| Part { name, filename, body, notation },
    )
}

fn parse_form(content: Vec<u8>) -> dustdevil::Result<multipart::Form> {
    let content_type = "multipart/form-data; boundary=boundary";
    multipart::parse(content_type, &content.into(), &Settings::default())
}

/// Generates a piece of a form, usually a valid one.
fn piece_of_a_form() -> impl Strategy<Value = Vec<u8>> {
    let piece = select(vec![
        "--b\r\n",
        "\r\n--b\r\n",
        "\r\n--b--",
        "--b",
        "Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n\r\n",
        "Content-Disposition: form-data; name=\"a\"\r\n\r\n",
        "Content-Disposition: form-data",
        "; name=a",
        "; name=\"",
        "; filename*=utf-8'",
        "'%",
        "\"",
        "\\",
        ";",
        "=",
        "\r\n",
        "\r\n\r\n",
    ]);
    prop_oneof![
        9 => piece.prop_map(Vec::from),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

/// Generates content. Some of it is chunks for one parser and a request for another.
fn content() -> impl Strategy<Value = &'static str> {
    select(vec![
        "hello",
        "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\ndust\r\n--b--\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;note=\"any; more\"\r\nhello\r\n0;last\r\nDigest: x\r\n\r\n",
        "5;a=\"b\\\"; c\" ; d\t=e;f\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\nhello\r\n0\r\n\r\n",
        "5 ;\r\nhello\r\n00\r\n\r\n",
        "05\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
        "5\r\nhello\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello!!0\r\n\r\n",
        "5;\rX\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello!\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;\nX\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "0\r\n\r\n",
        "0\r\nX: y\nZ: z\r\n\r\n",
        "0\r\n X\r\n\r\n",
        "0\r\n\n",
        "\r\n0\r\n\r\n",
    ])
}

/// Generates text with many special characters.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z-]{1,8}", "[a-z=;,:&<>'\" \t\r\n\0\u{7f}é{}]{0,8}", any::<String>()]
}

/// Generates a field value without white space at its ends.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(b' '), Just(b'\t'), b'!'..=b'~', 0x80..=0xffu8];
    prop::collection::vec(byte, 0..20).prop_map(|value| value.trim_ascii().to_vec())
}

fn breaks_a_line(text: &str) -> bool {
    text.contains(['\r', '\n', '\0'])
}

/// Splits bytes into pieces of these lengths, repeated cyclically.
fn split<'o>(mut bytes: &'o [u8], lengths: &[usize]) -> Vec<&'o [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    pieces
}
