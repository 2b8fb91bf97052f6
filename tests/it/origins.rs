//! Errors and refusals know the source line that made them: the log shows it always, and the
//! client sees it in `debug` mode.

use std::fs;
use std::io;
use std::path::PathBuf;

use dustdevil::{
    Application, Error, Exchange, HttpError, RequestHandler, Result, Route, Settings,
    Status, handler, methods, session,
};

use crate::log::lines_with;
use crate::process::{Process, command};
use crate::support::{Client, Reply, project, serve, settings};

/// Fails in the way that the path names.
struct FailingHandler;

impl RequestHandler for FailingHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.path_argument("how")? {
            "http" => Err(HttpError::new(Status::NOT_FOUND, "Not <here>.")
                .with_detail("no row 5\nin \"stories\"")
                .into()),
            "unavailable" => Err(Error::http(Status::SERVICE_UNAVAILABLE, "Too busy.")),
            "io" => {
                fs::read("no/such/file")?;
                Ok(())
            }
            "session" => {
                Err(session::Error::TooLarge { limit: 5 })?;
                Ok(())
            }
            "panic" => panic!("five is <right> out"),
            "template" => exchange.render("page.html", &[("name", &"Ann")]).await,
            "argument" => exchange.get_query_argument("day").map(drop),
            _ => exchange.send_error(Status::GONE),
        }
    }
}

fn application(prefix: &str, settings: Settings) -> Application {
    let pattern = format!("/{prefix}/{{how}}");
    Application::with_routes([Route::new(&pattern, handler::<FailingHandler>)], settings)
        .unwrap()
}

fn debug() -> Settings {
    Settings { debug: true, ..settings() }
}

/// Returns where in this file a text is, as the log shows it: rustc gives a path relative to the
/// package.
fn place(text: &str) -> String {
    let source = fs::read_to_string(project("tests/it/origins.rs")).unwrap();
    let is_it = |line: &str| line.contains(text) && !line.contains("place(");
    let line = source.lines().position(is_it).expect(text);
    format!("(tests/it/origins.rs:{})", line + 1)
}

async fn get(application: Application, path: &str) -> Reply {
    let server = serve(application).await;
    server.connect().await.ask(&format!("GET {path}")).await
}

#[tokio::test]
async fn a_refusal_is_one_line_with_message_detail_and_origin() {
    let lines = lines_with("/one-line/", async {
        let reply = get(application("one-line", settings()), "/one-line/http").await;
        assert_eq!(reply.status, 404);
        assert!(!reply.text().contains("row 5") && !reply.text().contains("origins.rs"));
        let reply = get(application("one-line", settings()), "/one-line/gone").await;
        assert_eq!(reply.status, 410);
        let reply = get(application("one-line", settings()), "/one-line/argument").await;
        assert_eq!(reply.status, 400);
    })
    .await;
    let [http, gone, argument] = &lines[..] else { panic!("not 3 lines: {lines:#?}") };
    assert!(http.starts_with("dustdevil::access 404 GET /one-line/http (127.0.0.1) "));
    let made = place("Not <here>.");
    let reason = format!("ms: Not <here>. no row 5\\nin \"stories\" {made}");
    assert!(http.ends_with(&reason), "{http}");
    let made = place("exchange.send_error");
    assert!(gone.ends_with(&format!("ms:  {made}")), "{gone}");
    let made = place("exchange.get_query_argument");
    let reason = format!("ms: The argument day is missing. {made}");
    assert!(argument.ends_with(&reason), "{argument}");
}

#[tokio::test]
async fn a_failure_is_a_line_of_the_application_with_its_origin_and_a_line_of_access() {
    for (how, text, made) in [
        ("io", "No such file or directory (os error 2) ", "fs::read(\"no/"),
        ("session", "the session would be larger than 5 bytes ", "Err(session::Error"),
        ("unavailable", "Too busy. ", "Too busy."),
        ("panic", "the handler panicked: five is <right> out", ""),
    ] {
        let path = format!("/failures/{how}");
        let lines = lines_with("/failures/", async {
            let reply = get(application("failures", settings()), &path).await;
            assert!(reply.status >= 500, "{how}");
            assert!(!reply.text().contains("origins.rs"), "{}", reply.text());
        })
        .await;
        let [failure, access] = &lines[..] else { panic!("not two lines: {lines:#?}") };
        let made = if made.is_empty() { String::new() } else { place(made) };
        let expected = format!("dustdevil::application GET {path}: {text}{made}");
        assert_eq!(*failure, expected);
        assert!(access.starts_with("dustdevil::access 50"), "{access}");
        assert!(access.ends_with("ms"), "{access}");
    }
}

#[tokio::test]
async fn in_debug_an_error_page_shows_message_detail_and_origin_escaped() {
    let page = |how: &str| {
        let path = format!("/debug/{how}");
        async move { get(application("debug", debug()), &path).await }
    };
    let reply = page("http").await;
    assert_eq!(reply.status, 404);
    let shown = "Not &lt;here&gt;. no row 5\nin &quot;stories&quot; ";
    let shown = format!("<p>{shown}{}</p>", place("Not <here>."));
    assert!(reply.text().contains(&shown), "{}", reply.text());
    assert!(reply.field("Content-Security-Policy").is_some());
    let reply = page("io").await;
    assert_eq!(reply.status, 500);
    let shown = format!("(os error 2) {}</p>", place("fs::read(\"no/"));
    assert!(reply.text().contains(&shown), "{}", reply.text());
    let text = page("panic").await.text();
    assert!(text.contains("panicked: five is &lt;right&gt; out</p>"), "{text}");
}

#[tokio::test]
async fn in_debug_a_404_lists_the_routes_and_otherwise_not() {
    let text = get(application("story", debug()), "/cave").await.text();
    assert!(text.contains("The routes are: /story/{how} ("), "{text}");
    let text = get(application("story", settings()), "/cave").await.text();
    assert!(text.contains("There is no such page.</p>"), "{text}");
}

/// Creates a directory with a template, and an error template.
fn views(name: &str, page: &str) -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("origins").join(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("page.html"), page).unwrap();
    fs::write(directory.join("error.html"), "<b>{{ status }}: {{ message }}</b>").unwrap();
    directory
}

#[tokio::test]
async fn in_debug_templates_are_read_again_when_they_change() {
    let views = views("changing", "<p>{{ name }}</p>");
    let page = views.join("page.html");
    let settings = |debug| Settings {
        template_path: views.clone(),
        error_template: String::from("error.html"),
        debug,
        ..settings()
    };
    let server = serve(application("views", settings(true))).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /views/template").await.text(), "<p>Ann</p>");
    // The same length, and immediately afterwards: no timestamp is compared.
    fs::write(&page, "<b>{{ name }}</b>").unwrap();
    assert_eq!(client.ask("GET /views/template").await.text(), "<b>Ann</b>");
    fs::write(&page, "\n{{ nmae }}").unwrap();
    let reply = client.ask("GET /views/template").await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().starts_with("<b>500 "), "{}", reply.text());
    assert!(reply.text().contains("page.html: undefined placeholder &quot;nmae&quot;"));
    // Now the error template cannot be read, either, so the plain page shows the reason.
    fs::write(&page, "\n{% if name %}").unwrap();
    let reply = client.ask("GET /views/template").await;
    assert_eq!(reply.status, 500);
    assert!(reply.text().contains("page.html:2: {% is not supported"), "{}", reply.text());

    fs::write(&page, "<p>{{ name }}</p>").unwrap();
    let server = serve(application("views", settings(false))).await;
    fs::write(&page, "<b>{{ name }}</b>").unwrap();
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /views/template").await.text(), "<p>Ann</p>");
}

/// Sends bytes that are no request, and returns the plain text of the response.
async fn refused(application: Application, bytes: &str) -> String {
    let server = serve(application).await;
    let mut client = server.connect().await;
    client.send(bytes).await;
    let reply = client.receive().await;
    assert_eq!(reply.field("Content-Type"), Some("text/plain; charset=UTF-8"));
    reply.text()
}

/// The location is the line that decides, so it is in a function about what was refused.
#[tokio::test]
async fn a_malformed_request_is_refused_with_the_line_that_refuses_it() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(40_000));
    for (bytes, file, decides) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            "framing",
            "Invalid Content-Length",
        ),
        ("GET / HTTP/1.1\r\n\r\n", "head", "There is no Host field."),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "head", "unknown_method()"),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "target", "The path has a %"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
            "head",
            "A field name is not a token.",
        ),
        ("GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", "head", "not_crlf()"),
        (&long, "request", "head_too_large()"),
    ] {
        let text = refused(application("malformed", debug()), bytes).await;
        let (message, origin) = text.trim_end().rsplit_once(" (").expect("an origin");
        let (path, line) = origin.trim_end_matches(')').split_once(':').expect(origin);
        assert_eq!(path, format!("src/http/{file}.rs"), "{text}");
        let source = fs::read_to_string(project(path)).unwrap();
        let line = source.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
        assert!(line.contains(decides), "{path}: {line:?} is not about {decides:?}");
        let plain = refused(application("malformed", settings()), bytes).await;
        assert_eq!(plain.trim_end(), message, "the client does not see it otherwise");
    }
}

#[tokio::test]
async fn content_is_refused_with_the_line_that_refuses_it() {
    let lines = lines_with("/content/", async {
        let server = serve(application("content", settings())).await;
        let head = "GET /content/x HTTP/1.1\r\nHost: a\r\n";
        let mut client = server.connect().await;
        client.send(format!("{head}Content-Length: 9999999\r\n\r\n")).await;
        assert_eq!(client.receive().await.status, 413);
        let mut client = server.connect().await;
        client.send(format!("{head}Transfer-Encoding: chunked\r\n\r\nx\r\n")).await;
        assert_eq!(client.receive().await.status, 400);
    })
    .await;
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains(": The content is too large. (src/http/content.rs:"));
    assert!(lines[1].contains(": Invalid chunk-size line. (src/http/chunked.rs:"));
}

#[tokio::test]
async fn a_request_without_a_valid_head_is_one_line_at_level_info() {
    let demo = Process::start(&mut command::<&str>([]));
    let mut client = Client::connect(demo.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n").await;
    assert_eq!(client.receive().await.status, 400);
    let mut client = Client::connect(demo.address()).await;
    assert_eq!(client.ask("GET /cave").await.status, 404);
    drop(client);
    demo.signal("TERM");
    let log = demo.wait().log;
    let [malformed, missing] = &log[..] else { panic!("not two lines: {log:#?}") };
    let expected = "] 400 (127.0.0.1): Invalid Content-Length. (src/http/framing.rs:";
    assert!(malformed.starts_with("[I ") && malformed.contains(expected), "{malformed}");
    assert!(missing.starts_with("[I ") && missing.contains("] 404 GET /cave"), "{missing}");
    assert!(missing.contains(": There is no such page. (src/web/application.rs:"));
}

#[tokio::test]
async fn debug_on_an_address_other_than_loopback_is_a_warning_at_the_start() {
    for (address, warns) in [("127.0.0.1", false), ("0.0.0.0", true)] {
        let demo = Process::start(&mut command(["--debug", "--address", address]));
        demo.address();
        demo.signal("TERM");
        let log = demo.wait().log;
        let is_warning = |line: &String| {
            line.starts_with("[W ") && line.contains("debug is on, and 0.0.0.0:")
        };
        assert_eq!(log.iter().any(is_warning), warns, "{log:#?}");
    }
}

#[tokio::test]
async fn while_the_log_is_off_the_first_failure_is_one_line_on_standard_error() {
    let views = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("origins/log_off");
    fs::create_dir_all(&views).unwrap();
    for view in fs::read_dir(project("views")).unwrap() {
        let view = view.unwrap();
        fs::copy(view.path(), views.join(view.file_name())).unwrap();
    }
    let views_argument =
        ["--debug".as_ref(), "--template-path".as_ref(), views.as_os_str()];
    let demo = Process::start(command(views_argument).env("RUST_LOG", "off"));
    demo.address();
    fs::write(views.join("login.html"), "{% if message %}").unwrap();
    let mut client = Client::connect(demo.address()).await;
    for _ in 0..2 {
        assert_eq!(client.ask("GET /login").await.status, 500);
        assert_eq!(
            client.ask("GET /cave").await.status,
            500,
            "its page is a template, too"
        );
    }
    drop(client);
    demo.signal("TERM");
    let log = demo.wait().log;
    let [line] = &log[..] else { panic!("not one line: {log:#?}") };
    assert!(line.starts_with("dustdevil: GET /login: "), "{line}");
    assert!(line.contains("login.html:1: {% is not supported"), "{line}");
    assert!(
        line.ends_with("[the log is off: a logger, such as env_logger, shows all errors]")
    );
}

#[test]
fn the_debug_form_of_an_error_is_its_text_with_its_origin() {
    let config = Error::Config(String::from("views/main.html:2: {{ without }}"));
    assert_eq!(format!("{config:?}"), "views/main.html:2: {{ without }}");
    let other = Error::other("five is right out");
    let made = place("Error::other(\"five");
    assert_eq!(format!("{other:?}"), format!("five is right out {made}"));
    // Passed as a function, the line would be one of the standard library.
    let failed: Result<(), &str> = Err("three, sir");
    assert_eq!(format!("{:?}", failed.map_err(Error::other).unwrap_err()), "three, sir");
    let converted = fallible().unwrap_err();
    let made = place("    Err(io::Error::from");
    assert_eq!(format!("{converted:?}"), format!("entity not found {made}"));
    assert!(size_of::<Error>() <= 32, "{}", size_of::<Error>());
}

fn fallible() -> Result {
    Err(io::Error::from(io::ErrorKind::NotFound))?;
    Ok(())
}
