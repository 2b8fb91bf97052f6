//! The demo as a process: its command line, its signals, its log.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dustdevil::http::date;
use tokio::time::sleep;

use crate::process::{Process, command};
use crate::support::{Client, Visitor, project};

#[test]
fn help_lists_the_options() {
    let ended = Process::start(&mut command(["--help"])).wait();
    assert!(ended.status.success());
    assert!(ended.log.is_empty(), "{:?}", ended.log);
    let help = ended.output.join("\n");
    for flag in ["--port", "--address", "--static-path", "--template-path", "--store"]
        .into_iter()
        .chain(["--trusted-proxy", "--trusted-origin"])
    {
        assert!(help.contains(flag), "{flag} is not in\n{help}");
    }
}

#[test]
fn an_unknown_flag_is_refused() {
    let message = "invalid option '--color'; try --help";
    assert_eq!(refusal(["--color", "red"]), message);
}

#[test]
fn an_invalid_port_is_refused() {
    let message = "--port takes 0 to 65535, not 65536";
    assert_eq!(refusal(["--port", "65536"]), message);
}

#[test]
fn an_unknown_store_is_refused() {
    assert!(refusal(["--store", "nonsense"]).starts_with("--store takes memory"));
}

#[test]
fn an_invalid_proxy_or_origin_is_refused() {
    let message =
        refusal(["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "10.1.2.3/8"]);
    let reason = "it has bits below its prefix, which must be zero";
    let expected = format!("--trusted-proxy: invalid network \"10.1.2.3/8\": {reason}");
    assert_eq!(message, expected);
    let message = refusal(["--trusted-origin", "https://example.com/"]);
    let expected =
        "trusted_origins: \"https://example.com/\" is not like https://a.example";
    assert_eq!(message, expected);
    assert!(refusal(["--trusted-proxy"]).contains("--trusted-proxy"));
}

#[tokio::test]
async fn proxies_and_origins_may_be_given_more_than_once() {
    let demo = Process::start(&mut command([
        "--trusted-proxy",
        "10.0.0.0/8",
        "--trusted-proxy",
        "127.0.0.1",
        "--trusted-origin",
        "https://one.example",
        "--trusted-origin",
        "https://two.example",
    ]));
    let mut client = Client::connect(demo.address()).await;
    let fields = "X-Forwarded-For: 203.0.113.7, 10.0.0.1\nX-Forwarded-Proto: https, http";
    let reply = client.ask(&format!("GET /login\n{fields}")).await;
    assert!(reply.cookie_line("__Host-_xsrf").unwrap().contains("Secure"), "{reply:?}");
    for (origin, message) in
        [("one", "token is missing"), ("two", "token is missing"), ("six", "Cross-site")]
    {
        let lines = format!("POST /login\nOrigin: https://{origin}.example");
        let reply = client.ask(&lines).await;
        assert_eq!(reply.status, 403);
        assert!(reply.text().contains(message), "{origin}: {}", reply.text());
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let message = refusal(["--port", &address.port().to_string()]);
    assert!(message.starts_with(&format!("cannot listen on {address}: ")), "{message}");
}

#[test]
fn a_missing_directory_is_refused() {
    let message = refusal(["--template-path", "no/such/pages"]);
    assert!(message.starts_with("the template folder no/such/pages: "), "{message}");
    let message = refusal(["--static-path", "no/such/files"]);
    assert!(message.starts_with("the static folder no/such/files: "), "{message}");
}

#[test]
fn a_missing_file_of_a_page_is_refused() {
    let views = views_with("without_login", "other.html", "");
    fs::remove_file(views.join("login.html")).unwrap();
    let message = refusal(["--template-path".as_ref(), views.as_os_str()]);
    assert!(message.starts_with("there is no file "), "{message}");
    assert!(message.ends_with("login.html"), "{message}");
    let message = refusal(["--static-path".as_ref(), views.as_os_str()]);
    assert!(message.ends_with("site.css"), "{message}");
}

#[test]
fn a_broken_template_is_refused() {
    let views = views_with("broken", "main.html", "<h1>\n{{ oops");
    let message = refusal(["--template-path".as_ref(), views.as_os_str()]);
    assert!(message.ends_with("main.html:2: {{ without }}"), "{message}");
}

#[test]
fn a_template_with_an_undefined_placeholder_is_refused() {
    let views = views_with("misspelt", "login.html", "<p>{{ mesage }}</p>");
    let message = refusal(["--template-path".as_ref(), views.as_os_str()]);
    assert!(message.ends_with("login.html: undefined placeholder \"mesage\""), "{message}");
}

#[tokio::test]
async fn it_starts_in_any_directory() {
    let demo = Process::start(command::<&str>([]).current_dir(std::env::temp_dir()));
    let mut visitor = visitor(demo.address());
    assert_eq!(visitor.log_in().await.field("Location"), Some("/main"));
    let page = visitor.get("/main").await;
    assert!(page.text().contains("this is main page"), "{page:?}");
    assert_eq!(visitor.get("/static/site.css").await.status, 200);
}

#[tokio::test]
async fn each_signal_shuts_it_down_gracefully() {
    for signal in ["INT", "TERM", "HUP"] {
        let demo = Process::start(&mut command::<&str>([]));
        // It installs its signal handlers before it prints its address.
        demo.address();
        demo.signal(signal);
        assert!(demo.wait().status.success(), "{signal}");

        let demo = Process::start(&mut command::<&str>([]));
        let mut idle = Client::connect(demo.address()).await;
        assert_eq!(idle.ask("GET /hello").await.status, 200);
        demo.signal(signal);
        assert!(demo.wait().status.success(), "{signal} with an idle client");
    }
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_it_ends() {
    let demo = Process::start(&mut command::<&str>([]));
    let (mut client, content) = start_login(demo.address()).await;
    signal_and_wait(&demo).await;
    client.send(content).await;
    let reply = client.receive().await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/main")));
    assert_eq!(reply.field("Connection"), Some("close"));
    drop(client);
    assert!(demo.wait().status.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_immediately() {
    // Another signal, or the same one more than a second later, as from a second Ctrl-C.
    for (signal, pause) in [("INT", 0), ("TERM", 1100)] {
        let demo = Process::start(&mut command::<&str>([]));
        let (mut client, _) = start_login(demo.address()).await;
        signal_and_wait(&demo).await;
        sleep(Duration::from_millis(pause)).await;
        demo.signal(signal);
        assert!(client.is_closed().await, "the connection is still open");
        let ended = demo.wait();
        assert_eq!(ended.status.code(), Some(1));
        let message = "dustdevil: stopped before every request was answered";
        assert_eq!(ended.log.last().map(String::as_str), Some(message));
    }
}

/// timeout(1) sends its signal twice: to the process, and then to its process group.
#[tokio::test]
async fn the_same_signal_twice_within_a_second_is_one() {
    let demo = Process::start(&mut command::<&str>([]));
    let (mut client, content) = start_login(demo.address()).await;
    demo.signal("TERM");
    demo.signal("TERM");
    sleep(Duration::from_millis(200)).await;
    client.send(content).await;
    assert_eq!(client.receive().await.status, 302);
    drop(client);
    assert!(demo.wait().status.success());
}

#[tokio::test]
async fn a_hangup_is_ignored_under_nohup() {
    let mut nohup = Command::new("nohup");
    nohup.arg(env!("CARGO_BIN_EXE_dustdevil")).args(["--port", "0"]);
    let demo = Process::start(nohup.env_remove("RUST_LOG"));
    let mut client = Client::connect(demo.address()).await;
    assert_eq!(client.ask("GET /hello").await.status, 200);
    demo.signal("HUP");
    sleep(Duration::from_millis(300)).await;
    assert_eq!(client.ask("GET /hello").await.status, 200, "it still serves");
    demo.signal("TERM");
    assert!(demo.wait().status.success());
}

#[tokio::test]
async fn a_line_of_the_log_has_the_format_of_tornado() {
    let demo = Process::start(&mut command::<&str>([]));
    visitor(demo.address()).log_in().await;
    demo.signal("TERM");
    let log = demo.wait().log;
    let line = log.iter().find(|line| line.contains("POST")).expect("a line for the POST");
    let (timestamp, message) = line.split_once("] ").expect("a timestamp");
    let date = timestamp.strip_prefix("[I ").and_then(date::parse);
    assert!(date.is_some(), "{line}");
    let time = message.strip_prefix("302 POST /login (127.0.0.1) ").expect(line);
    let time = time.strip_suffix("ms").and_then(|time| time.split_once('.')).expect(line);
    assert!(time.0.parse::<u64>().is_ok() && time.1.len() == 2, "{line}");
}

#[tokio::test]
async fn an_unread_log_blocks_no_request() {
    let mut demo = Process::start_unread(&mut command::<&str>([]));
    let mut client = Client::connect(demo.address()).await;
    // More lines than the buffer of a pipe and the queue hold together.
    for _ in 0..10_000 {
        assert_eq!(client.ask("GET /hello").await.status, 200);
    }
    demo.read_log();
    let is_dropped_line = |line: &String| line.contains("log lines dropped");
    // Once the queue has space again, the next line reports those that were dropped.
    for _ in 0..100 {
        assert_eq!(client.ask("GET /hello").await.status, 200);
        sleep(Duration::from_millis(2)).await;
    }
    drop(client);
    demo.signal("TERM");
    let ended = demo.wait();
    assert!(ended.status.success());
    assert!(ended.log.iter().any(is_dropped_line), "{} lines", ended.log.len());
}

#[tokio::test]
async fn an_unread_log_does_not_delay_the_shutdown() {
    let demo = Process::start_unread(&mut command::<&str>([]));
    let mut client = Client::connect(demo.address()).await;
    for _ in 0..10_000 {
        assert_eq!(client.ask("GET /hello").await.status, 200);
    }
    drop(client);
    demo.signal("TERM");
    assert!(demo.wait().status.success());
}

#[tokio::test]
async fn nothing_secret_is_in_the_log() {
    let demo = Process::start(&mut command(["--credentials", "admin:open sesame"]));
    let mut visitor = visitor(demo.address());
    let form = [("username", "admin"), ("password", "open barley")];
    visitor.fill("/login", "/login", &form).await;
    let mut secrets: Vec<String> = visitor.cookies.values().cloned().collect();
    let form = [("username", "admin"), ("password", "open sesame")];
    let reply = visitor.fill("/login", "/login", &form).await;
    assert_eq!(reply.field("Location"), Some("/main"));
    secrets.extend(visitor.cookies.values().cloned());
    assert_eq!(visitor.get("/main?treasure=gold").await.status, 200);
    assert_eq!(visitor.get("/cave?treasure=gold").await.status, 404);

    demo.signal("TERM");
    let log = demo.wait().log.join("\n");
    assert!(log.contains("200 GET /main") && log.contains("404 GET /cave"), "{log}");
    assert!(secrets.len() >= 2, "an id before the login, and one after it");
    secrets.extend(["barley", "sesame", "treasure", "gold"].map(String::from));
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret} is in\n{log}");
    }
}

/// Returns the error message of a start that fails: one line, and nothing else is printed.
fn refusal<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> String {
    let ended = Process::start(&mut command(arguments)).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.output.is_empty(), "{:?}", ended.output);
    let [line] = &ended.log[..] else { panic!("not one line: {:#?}", ended.log) };
    line.strip_prefix("dustdevil: ").expect(line).to_owned()
}

/// Copies the demo's templates into a directory of this test, with one of them replaced.
fn views_with(name: &str, template: &str, source: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("command").join(name);
    fs::create_dir_all(&directory).unwrap();
    for view in fs::read_dir(project("views")).unwrap() {
        let view = view.unwrap();
        fs::copy(view.path(), directory.join(view.file_name())).unwrap();
    }
    fs::write(directory.join(template), source).unwrap();
    directory
}

fn visitor(address: SocketAddr) -> Visitor {
    Visitor { address, cookies: BTreeMap::new() }
}

/// Sends the head of a login and waits for `100 Continue`, so that the request is in flight.
/// Returns the connection, and the content that is not sent yet.
async fn start_login(address: SocketAddr) -> (Client, String) {
    let page = visitor(address).get("/login").await;
    let visitor_id = page.cookie("_xsrf").expect("a cookie that belongs to the token");
    let content = format!("username=admin&password=123&_xsrf={}", page.xsrf_token());
    let length = content.len();
    let mut client = Client::connect(address).await;
    client
        .send(format!(
            "POST /login HTTP/1.1\r\nHost: localhost\r\nCookie: _xsrf={visitor_id}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        ))
        .await;
    assert_eq!(client.receive_head().await.status, 100);
    (client, content)
}

/// Sends SIGTERM and waits until the shutdown has begun: idle connections are closed then.
async fn signal_and_wait(demo: &Process) {
    let mut idle = Client::connect(demo.address()).await;
    assert_eq!(idle.ask("GET /hello").await.status, 200);
    demo.signal("TERM");
    assert!(idle.is_closed().await);
}
