//! Uploads: forms in `multipart/form-data`, as they are specified and as real clients write
//! them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use dustdevil::{
    Application, Exchange, HttpFile, RequestHandler, Result, Settings, handler, methods,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::clients::{has_requests, run};
use crate::support::{Reply, Running, project, serve, settings};
use crate::webdriver::Browser;

/// The names of fields that the tests use.
const FIELDS: [&str; 4] = ["file", "other", "a\"b\\", "\u{438}\u{43c}\u{44f}"];

/// Names of files that clients write in different ways.
const FILES: [&str; 9] = [
    "report\\",
    "a\"b.txt",
    "\"quoted\"",
    "na\u{ef}ve.txt",
    "\u{43e}\u{442}\u{447}\u{451}\u{442}.txt",
    "a; name=\"other\"; b=c.txt",
    "C:\\new\\report.txt",
    "50%25 off.txt",
    "'a'=b, c.txt",
];

/// Returns what it received, as JSON: the files and the text of each field.
struct UploadHandler;

impl RequestHandler for UploadHandler {
    methods!(Get, Post);

    /// A page with a form, in the encoding that the query names.
    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let charset = exchange.get_query_argument("charset")?;
        exchange.set_header("Content-Type", "text/html; charset=utf-8")?;
        exchange.write(format!(
            "<form method=post enctype=multipart/form-data accept-charset={charset}>\
             <input type=file name=file id=files multiple>\
             <input type=file name='a&quot;b\\' id=nasty>\
             <input type=file name=other>\
             <input name=\u{438}\u{43c}\u{44f} value='\u{ef}'><button>Send</button></form>"
        ))
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let (mut files, mut texts) = (Vec::new(), Vec::new());
        for field in FIELDS {
            files.extend(exchange.get_files(field).map(view));
            let values = exchange.get_body_arguments(field)?;
            texts.extend(values.into_iter().map(|value| json!([field, value])));
        }
        exchange.set_header("Content-Type", "text/plain; charset=utf-8")?;
        exchange.write(json!({ "files": files, "texts": texts }).to_string())
    }
}

/// What the tests compare of a file: its field, its name, its type, its length, its digest.
fn view(file: &HttpFile) -> Value {
    let digest = hex::encode(Sha256::digest(&file.body));
    json!([file.name, file.filename, file.content_type, file.body.len(), digest])
}

/// The view of a file that a client has sent.
fn sent(name: &str, filename: &str, content_type: &str, body: &[u8]) -> Value {
    view(&HttpFile {
        name: name.to_owned(),
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        body: body.to_vec().into(),
    })
}

async fn server_with(settings: Settings) -> Running {
    serve(Application::new([("/", handler::<UploadHandler>)], settings).unwrap()).await
}

/// Sends content with these fields.
async fn send(server: &Running, fields: &str, content: &[u8]) -> Reply {
    let mut client = server.connect().await;
    let length = content.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\nContent-Length: {length}\r\n\r\n"
    );
    client.send([head.as_bytes(), content].concat()).await;
    client.receive().await
}

/// Sends content with these fields, and returns the status and the text of the response.
async fn post(server: &Running, fields: &str, content: &[u8]) -> (u16, String) {
    let reply = send(server, fields, content).await;
    (reply.status, reply.text())
}

const FORM: &str = "Content-Type: multipart/form-data; boundary=x";

/// A form of one part: the value of its Content-Disposition, and its content.
fn form(disposition: &[u8], content: &[u8]) -> Vec<u8> {
    let head = [b"--x\r\nContent-Disposition: ", disposition, b"\r\n\r\n"].concat();
    [&head, content, b"\r\n--x--\r\n"].concat()
}

/// Asserts that a part with this disposition is a file with this field and this name.
async fn assert_file(server: &Running, disposition: &[u8], field: &str, filename: &str) {
    let (status, text) = post(server, FORM, &form(disposition, b"content")).await;
    let shown = String::from_utf8_lossy(disposition);
    assert_eq!(status, 200, "{shown}: {text}");
    let file = sent(field, filename, "application/octet-stream", b"content");
    let expected = json!({ "files": [file], "texts": [] });
    assert_eq!(text, expected.to_string(), "{shown}");
}

/// Asserts that the form is refused with 400 and a message that contains `message`.
async fn assert_bad(server: &Running, content: &[u8], message: &str) {
    let (status, text) = post(server, FORM, content).await;
    let shown = String::from_utf8_lossy(&content[..content.len().min(300)]);
    assert_eq!(status, 400, "{shown}: {text}");
    assert!(text.contains(message), "{shown}: {text}");
}

/// `filename*` of RFC 8187. urllib3 1.24 sends nothing else for a name that is not ASCII, and
/// .NET sends it next to an encoded word of mail.
#[tokio::test]
async fn an_extended_file_name_makes_a_file_and_takes_precedence() {
    let server = server_with(settings()).await;
    for name in [
        "filename*=utf-8''na%C3%AFve.txt",
        "filename*=UTF-8'en'na%c3%afve.txt",
        "filename*=\"utf-8''na%C3%AFve.txt\"",
        "filename*=iso-8859-1''na%EFve.txt",
        "FileName*=utf-8''na%C3%AFve.txt; filename=naive.txt",
        "filename=\"=?utf-8?B?bmHDr3ZlLnR4dA==?=\"; filename*=utf-8''na%C3%AFve.txt",
    ] {
        let disposition = format!("form-data; name=\"file\"; {name}");
        assert_file(&server, disposition.as_bytes(), "file", "na\u{ef}ve.txt").await;
    }
    let name = "form-data; name*=utf-8''%D0%B8%D0%BC%D1%8F; filename=a";
    assert_file(&server, name.as_bytes(), "\u{438}\u{43c}\u{44f}", "a").await;
    let twice = "form-data; name=file; filename*=utf-8''50%2525%20off.txt";
    assert_file(&server, twice.as_bytes(), "file", "50%25 off.txt").await;
    for name in ["na%C3%AFve.txt", "utf-8'na%C3%AFve.txt", "utf-8''%EF", "koi8-r''%D0"] {
        let disposition = format!("form-data; name=file; filename=a; filename*={name}");
        let content = form(disposition.as_bytes(), b"");
        assert_bad(&server, &content, "invalid extended parameter").await;
    }
}

/// Chromium, Firefox, curl and requests do not escape a backslash; Go and httpx double it.
#[tokio::test]
async fn a_name_that_ends_in_a_backslash_is_that_name() {
    let server = server_with(settings()).await;
    for disposition in [
        r#"form-data; name="file"; filename="report\""#,
        r#"form-data; name="file"; filename="report\"; size=5"#,
        r#"form-data; name="file"; filename="report\" ; a="b"; c="d\""#,
        r#"form-data; filename="report\"; name="file""#,
        r#"form-data; name="file"; filename="report\\""#,
        r#"form-data; name="file"; filename="report\\"; size=5"#,
    ] {
        assert_file(&server, disposition.as_bytes(), "file", r"report\").await;
    }
    let both = r#"form-data; name="a%22b\"; filename="b\""#;
    assert_file(&server, both.as_bytes(), "a\"b\\", r"b\").await;
}

/// Go, and curl before 7.81, escape quotes. None of these names ends early, or becomes another
/// parameter.
#[tokio::test]
async fn an_escaped_quote_in_a_name_does_not_end_it() {
    let server = server_with(settings()).await;
    for name in FILES.into_iter().chain([
        "\"",
        "\\\"",
        "a\\\"b\\",
        "a\"; name=",
        "a\"; name=; b",
        "a\"; name=\"other\"",
        "a\"; name=other;",
        "\"; filename=\"\\",
    ]) {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        for disposition in [
            format!("form-data; name=\"file\"; filename=\"{escaped}\""),
            format!("form-data; filename=\"{escaped}\"; name=\"file\""),
        ] {
            assert_file(&server, disposition.as_bytes(), "file", name).await;
        }
    }
    for malformed in [
        r#"form-data; name="file"; filename="a"#,
        r#"form-data; name="file"; filename="a"b.txt""#,
        r#"form-data; name="file"; filename="a\"; b"#,
        r#"form-data; name=fi"le; filename=a"#,
        r"form-data; name=file; filename",
        r"form-data; name=file; =a",
    ] {
        let content = form(malformed.as_bytes(), b"");
        assert_bad(&server, &content, "malformed parameters").await;
    }
}

/// WHATWG, HTML, "multipart/form-data encoding algorithm": `%22`, `%0D` and `%0A`, and no other
/// character. A percent sign itself is not encoded, so a file whose name has a literal `%22` is
/// sent like one with a quote.
#[tokio::test]
async fn of_percent_encoded_characters_in_names_those_of_browsers_are_decoded() {
    let server = server_with(settings()).await;
    for (sent, name) in [
        ("a%22b.txt", "a\"b.txt"),
        ("a%0D%0Ab%0A.txt", "a\r\nb\n.txt"),
        ("a\\%22", "a\\\""),
        ("%2522 %41%20%5C%0d%00.txt", "%2522 %41%20%5C%0d%00.txt"),
    ] {
        let disposition = format!("form-data; name=\"a%22b\\\"; filename=\"{sent}\"");
        assert_file(&server, disposition.as_bytes(), "a\"b\\", name).await;
    }
    // Without quotes there is nothing to encode.
    assert_file(&server, b"form-data; name=file; filename=a%22b", "file", "a%22b").await;
}

#[tokio::test]
async fn the_disposition_may_have_any_letter_case_and_white_space() {
    let server = server_with(settings()).await;
    for disposition in [
        "Form-Data; NAME=\"file\"; FileName=\"a.txt\"",
        "FORM-DATA ;name = file;filename=\"a.txt\" ;",
        "form-data;; \tname=\"file\"\t;filename\t=\ta.txt",
    ] {
        assert_file(&server, disposition.as_bytes(), "file", "a.txt").await;
    }
}

#[tokio::test]
async fn a_latin_1_file_name_is_read_as_such_and_does_not_hide_the_name_of_the_field() {
    let server = server_with(settings()).await;
    let disposition =
        b"form-data; name=\"\xd0\xb8\xd0\xbc\xd1\x8f\"; filename=\"na\xefve.txt\"";
    let field = "\u{438}\u{43c}\u{44f}";
    assert_file(&server, disposition, field, "na\u{ef}ve.txt").await;
}

#[tokio::test]
async fn a_boundary_within_a_line_of_the_preamble_is_not_a_delimiter() {
    let server = server_with(settings()).await;
    for preamble in
        ["", "\r\n", "It ends in --x\r\n", "It ends in --x--\r\n", " --x\r\n\r\n"]
    {
        let content = form(b"form-data; name=file", b"text");
        let content = [preamble.as_bytes(), &content, b"--x epilogue --x"].concat();
        let (status, text) = post(&server, FORM, &content).await;
        assert_eq!(status, 200, "{preamble:?}: {text}");
        assert_eq!(text, r#"{"files":[],"texts":[["file","text"]]}"#, "{preamble:?}");
    }
    let missing = b"a --x\r\nContent-Disposition: form-data; name=file\r\n\r\na --x--";
    assert_bad(&server, missing, "does not begin with its boundary").await;
}

/// A file input without a choice sends a part with an empty file name, without content.
#[tokio::test]
async fn no_file_chosen_is_told_apart_from_an_empty_file() {
    let server = server_with(settings()).await;
    let unchosen = form(
        b"form-data; name=\"file\"; filename=\"\"\r\nContent-Type: application/octet-stream",
        b"",
    );
    let (status, text) = post(&server, FORM, &unchosen).await;
    assert_eq!((status, &*text), (200, r#"{"files":[],"texts":[["file",""]]}"#));
    let empty = form(b"form-data; name=\"file\"; filename=\"a.txt\"", b"");
    let (_, text) = post(&server, FORM, &empty).await;
    let file = sent("file", "a.txt", "application/octet-stream", b"");
    assert_eq!(text, json!({ "files": [file], "texts": [] }).to_string());
    let unnamed = b"form-data; name=\"file\"; filename=\"\"";
    assert_file(&server, unnamed, "file", "").await;
}

#[tokio::test]
async fn a_form_with_a_content_encoding_is_415() {
    let server = server_with(settings()).await;
    let multipart = form(b"form-data; name=file", b"text");
    let urlencoded = "Content-Type: application/x-www-form-urlencoded";
    for (kind, content) in [(FORM, &multipart[..]), (urlencoded, b"file=text")] {
        for encoding in ["gzip", "identity, gzip", "identity\r\nContent-Encoding: br"] {
            let fields = format!("{kind}\r\nContent-Encoding: {encoding}");
            let reply = send(&server, &fields, content).await;
            assert_eq!(reply.status, 415, "{fields}");
            assert_eq!(reply.field("Accept-Encoding"), Some("identity"), "{fields}");
            assert!(reply.text().contains("Content-Encoding"), "{}", reply.text());
        }
        let fields = format!("{kind}\r\nContent-Encoding: Identity");
        let (status, text) = post(&server, &fields, content).await;
        assert_eq!((status, &*text), (200, r#"{"files":[],"texts":[["file","text"]]}"#));
    }
    // Other content is the handler's own.
    let fields = "Content-Type: application/json\r\nContent-Encoding: gzip";
    assert_eq!(post(&server, fields, b"\x1f\x8b").await.0, 200);
}

#[tokio::test]
async fn the_head_of_a_part_is_limited() {
    let server = server_with(settings()).await;
    let empty = "Content-Disposition: form-data; name=file; filename=\"\"\r\n\r\n".len();
    let limit = Settings::default().max_part_head;
    assert_eq!(limit, 10 * 1024);
    let name = "a".repeat(limit - empty);
    let disposition = format!("form-data; name=file; filename=\"{name}\"");
    assert_file(&server, disposition.as_bytes(), "file", &name).await;
    for longer in [limit - empty + 1, 1_000_000] {
        let name = "a".repeat(longer);
        let disposition = format!("form-data; name=file; filename=\"{name}\"");
        let content = form(disposition.as_bytes(), b"");
        assert_bad(&server, &content, "a head that is incomplete or too long").await;
    }
}

#[tokio::test]
async fn the_parts_of_a_form_have_a_limit_of_their_own() {
    let server = server_with(Settings { max_arguments: 3, ..settings() }).await;
    let part = "--x\r\nContent-Disposition: form-data; name=file\r\n\r\n\r\n";
    let file = "--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n\r\n";
    let parts = part.repeat(50) + &file.repeat(50);
    let (status, text) = post(&server, FORM, format!("{parts}--x--").as_bytes()).await;
    assert_eq!(status, 200, "{text}");
    for one in [part, file] {
        let content = format!("{parts}{one}--x--");
        assert_bad(&server, content.as_bytes(), "too many parts").await;
    }
    let server = server_with(Settings { max_form_parts: 1, ..settings() }).await;
    assert_eq!(post(&server, FORM, format!("{part}--x--").as_bytes()).await.0, 200);
    assert_bad(&server, format!("{part}{part}--x--").as_bytes(), "too many parts").await;
}

/// Files on disk with the names of [`FILES`], for the clients that send files. Removed at the
/// end of the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let name = format!("uploads-{test}-{}", std::process::id());
        let folder = Folder(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (index, name) in FILES.iter().enumerate() {
            fs::write(folder.file(name), content(index)).unwrap();
        }
        folder
    }

    fn file(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.join(name.as_ref())
    }

    fn text(&self, name: &str) -> String {
        self.file(name).to_str().expect("a path in UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The content of the file with this index: the first one is empty, the others have all bytes,
/// and lines that are almost delimiters.
fn content(index: usize) -> Vec<u8> {
    let bytes = (0..=255u8).cycle().take(20_000 * index);
    bytes
        .chain(*b"\r\n--\r\n--boundary--\r\n")
        .skip(if index == 0 { 21 } else { 0 })
        .collect()
}

/// The views of all files in the field `file`, with this type.
fn all_files(content_type: impl Fn(&str) -> &'static str) -> Vec<Value> {
    let files = FILES.iter().enumerate();
    files
        .map(|(index, name)| sent("file", name, content_type(name), &content(index)))
        .collect()
}

/// The type that curl and Chromium derive from a name.
fn type_by_name(name: &str) -> &'static str {
    match Path::new(name).extension() {
        Some(extension) if extension == "txt" => "text/plain",
        _ => "application/octet-stream",
    }
}

/// Uploads with curl. Its option quotes a path as in a shell.
fn curl(server: &Running, folder: &Folder, options: &[&str]) -> Option<Value> {
    let quoted =
        |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut arguments: Vec<String> = options.iter().map(ToString::to_string).collect();
    for name in FILES {
        // The name is given, because curl takes it for the part after the last backslash.
        let (path, name) = (quoted(&folder.text(name)), quoted(name));
        arguments.extend(["-F".to_owned(), format!("file=@{path};filename={name}")]);
    }
    arguments.extend(["-F".to_owned(), "a\"b\\=text".to_owned()]);
    arguments.push(format!("http://{}/", server.address));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = run("curl", &[&["-sS", "--noproxy", "*"], &arguments[..]].concat())?;
    Some(serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_from_curl_as_they_were_sent() {
    let server = server_with(settings()).await;
    let folder = Folder::new("curl");
    let expected =
        json!({ "files": all_files(type_by_name), "texts": [["a\"b\\", "text"]] });
    // By default it encodes as browsers do; before 7.81 it escaped with backslashes.
    for options in [&[][..], &["--form-escape"]] {
        let Some(received) = curl(&server, &folder, options) else { return };
        assert_eq!(received, expected, "{options:?}");
    }
    server.stop().await;
}

/// Runs a script of `tests/clients`, which compares what it sent with the response.
fn run_script(program: &str, script: &str, server: &Running, names: &[&str]) {
    let script = project("tests/clients").join(script);
    let url = format!("http://{}/", server.address);
    run(program, &[&[&*script.to_string_lossy(), &url], names].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_from_pythons_standard_library_as_they_were_sent() {
    let server = server_with(settings()).await;
    run_script("python3", "uploads.py", &server, &[&["http.client"], &FILES[..]].concat());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_from_python_requests_as_they_were_sent() {
    let server = server_with(settings()).await;
    if has_requests() {
        run_script("python3", "uploads.py", &server, &[&["requests"], &FILES[..]].concat());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_from_node_as_they_were_sent() {
    let server = server_with(settings()).await;
    run_script("node", "uploads.mjs", &server, &FILES);
    server.stop().await;
}

/// Uploads with a browser from the page in this encoding: all files in one input, the first two
/// in others.
fn upload_with(browser: &Browser, folder: &Folder, charset: &str) -> Value {
    browser.visit(&format!("/?charset={charset}"));
    let paths: Vec<String> = FILES.iter().map(|name| folder.text(name)).collect();
    browser.enter("#files", &paths.join("\n"));
    browser.enter("#nasty", &paths[0]);
    browser.press("button");
    let page = browser.execute("return document.body.textContent");
    let page = page.as_str().expect("text").to_owned();
    serde_json::from_str(&page).unwrap_or_else(|_| panic!("{page}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_from_a_browser_as_they_were_chosen() {
    let server = server_with(settings()).await;
    let folder = Folder::new("browser");
    let Some(browser) = Browser::open(server.address) else { return };
    let mut files = all_files(type_by_name);
    files.push(sent("a\"b\\", FILES[0], "application/octet-stream", &content(0)));
    // The input `other` is left without a choice.
    let texts = json!([["other", ""], ["\u{438}\u{43c}\u{44f}", "\u{ef}"]]);
    let received = upload_with(&browser, &folder, "utf-8");
    assert_eq!(received, json!({ "files": files, "texts": texts }));
    server.stop().await;
}

/// A form that asks for Latin-1. Browsers write a character that it does not have as a
/// character reference.
#[tokio::test(flavor = "multi_thread")]
async fn files_arrive_from_a_page_in_latin_1_with_their_names() {
    let server = server_with(settings()).await;
    let folder = Folder::new("latin-1");
    let Some(browser) = Browser::open(server.address) else { return };
    let received = upload_with(&browser, &folder, "iso-8859-1");
    let files = received["files"].as_array().expect("files");
    let names: Vec<&str> = files.iter().filter_map(|file| file[1].as_str()).collect();
    let cyrillic = "&#1086;&#1090;&#1095;&#1105;&#1090;.txt";
    let expected = FILES
        .map(|name| if name == FILES[4] { cyrillic.to_owned() } else { name.to_owned() });
    assert_eq!(names[..FILES.len()], expected);
    server.stop().await;
}
