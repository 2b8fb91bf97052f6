//! Reverse proxies: the fields that they send, the networks that they are in, and a real nginx
//! with the configuration of the guide.

use std::io::Read;
use std::process::Stdio;

use dustdevil::{
    Application, Error, Exchange, Handler, HttpError, Limits, Network, RequestHandler,
    Result, Settings, handler, methods,
};
use tokio::sync::Notify;

use crate::demo::make_app;
use crate::demo::options::Options;
use crate::nginx::{CLIENT, Nginx};
use crate::support::{Running, exchange, serve, settings};

#[test]
fn a_network_has_the_addresses_that_begin_with_its_bits() {
    for (network, address, expected) in [
        ("10.0.0.0/8", "10.255.255.255", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.0", false),
        ("10.0.0.1/32", "10.0.0.1", true),
        ("172.16.0.0/12", "172.31.0.1", true),
        ("172.16.0.0/12", "172.32.0.1", false),
        ("0.0.0.0/0", "203.0.113.7", true),
        ("0.0.0.0/0", "::1", false),
        ("::/0", "2001:db8::1", true),
        ("::/0", "10.0.0.1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::", false),
        ("::1", "::1", true),
        // IPv4-mapped on either side.
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("::ffff:10.0.0.0/104", "10.1.2.3", true),
        ("::ffff:10.0.0.0/104", "11.1.2.3", false),
        ("::ffff:0.0.0.0/96", "203.0.113.7", true),
        ("::ffff:10.0.0.1", "10.0.0.1", true),
    ] {
        let parsed: Network = network.parse().unwrap();
        assert_eq!(
            parsed.contains(address.parse().unwrap()),
            expected,
            "{network} {address}"
        );
    }
}

#[test]
fn text_that_is_no_network_is_refused_with_its_reason() {
    for (text, reason) in [
        ("", "no IP address"),
        ("localhost", "no IP address"),
        ("127.0.0.1:80", "no IP address"),
        ("10.0.0/8", "no IP address"),
        ("/8", "no IP address"),
        ("10.0.0.0/33", "the prefix is too long or no number"),
        ("10.0.0.0/", "the prefix is too long or no number"),
        ("10.0.0.0/255.0.0.0", "the prefix is too long or no number"),
        ("::/129", "the prefix is too long or no number"),
        ("10.1.2.3/8", "it has bits below its prefix, which must be zero"),
        ("0.0.0.1/0", "it has bits below its prefix, which must be zero"),
        ("::ffff:10.0.0.0/95", "it has bits below its prefix, which must be zero"),
    ] {
        let error = Error::from(text.parse::<Network>().unwrap_err());
        assert_eq!(error.to_string(), format!("invalid network {text:?}: {reason}"));
    }
}

/// Returns what a request from 127.0.0.1 with these fields comes from, as scheme and address.
fn origin_of(fields: &str) -> String {
    let trusted_proxies = ["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"];
    let trusted_proxies = trusted_proxies.map(|network| network.parse().unwrap()).to_vec();
    let application =
        Application::new([], Settings { trusted_proxies, ..settings() }).unwrap();
    let exchange = exchange(&application, &format!("GET /\n{fields}"));
    let scheme = if exchange.is_https() { "https" } else { "http" };
    format!("{scheme} {}", exchange.remote_ip())
}

#[test]
fn an_address_may_have_a_port_and_brackets() {
    for (entries, client) in [
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[::ffff:203.0.113.7]:4711", "203.0.113.7"),
        ("203.0.113.7:4711, 10.0.0.2:80, [2001:db8:1::2]:443", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7:4711", "203.0.113.7"),
        // None of these is an address.
        ("[203.0.113.7", "127.0.0.1"),
        ("203.0.113.7:", "127.0.0.1"),
        ("203.0.113.7:99999", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
    ] {
        let origin = origin_of(&format!("X-Forwarded-For: {entries}"));
        assert_eq!(origin, format!("http {client}"), "{entries}");
    }
}

/// The entry that the outermost trusted proxy has written is the one that counts.
#[test]
fn the_scheme_is_believed_at_the_position_of_the_client() {
    for (addresses, schemes, expected) in [
        // One proxy.
        ("203.0.113.7", "https", "https"),
        ("203.0.113.7", "HTTPS", "https"),
        ("203.0.113.7", "https, https", "https"),
        ("203.0.113.7", "https, http", "http"),
        ("203.0.113.7", "http, https", "https"),
        // Two proxies, both of which append.
        ("203.0.113.7, 10.0.0.2", "https, https", "https"),
        ("203.0.113.7, 10.0.0.2", "https, http", "https"),
        ("203.0.113.7, 10.0.0.2", "http, https", "http"),
        // The client has sent one more.
        ("203.0.113.7, 10.0.0.2", "https, http, http", "http"),
        ("6.6.6.6, 203.0.113.7, 10.0.0.2", "https, http, http", "http"),
        // An address that the client has made up is not a proxy.
        ("10.6.6.6, 203.0.113.7, 10.0.0.2", "https, http, http", "http"),
        // Two proxies, one of which replaces the field or leaves it alone.
        ("203.0.113.7, 10.0.0.2", "https", "https"),
        ("203.0.113.7, 10.0.0.2", "http", "http"),
        // A proxy that does not say the client's address.
        ("", "https, http", "http"),
        ("", "http, https", "https"),
        ("", "", "http"),
    ] {
        let fields = format!("X-Forwarded-For: {addresses}\nX-Forwarded-Proto: {schemes}");
        let origin = origin_of(&fields);
        assert_eq!(origin.split_once(' ').unwrap().0, expected, "{fields}");
    }
    let lines = "X-Forwarded-For: 203.0.113.7\nX-Forwarded-For: 10.0.0.2\n\
                 X-Forwarded-Proto: https\nX-Forwarded-Proto: http";
    assert_eq!(origin_of(lines), "https 203.0.113.7", "several lines are one list");
}

/// Shows what the log gets of an error, and the client does not.
struct DetailHandler;

impl RequestHandler for DetailHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("accepted")
    }

    async fn write_error(exchange: &mut Exchange, error: &HttpError) -> Result {
        exchange.write(&error.detail)
    }
}

#[tokio::test]
async fn a_request_of_a_foreign_origin_logs_the_fields_and_the_setting() {
    let trusted_proxies = vec![[127, 0, 0, 1].into()];
    let application = Application::new(
        [("/", handler::<DetailHandler>)],
        Settings { trusted_proxies, ..settings() },
    );
    let server = serve(application.unwrap()).await;
    let mut client = server.connect().await;
    for (fields, start) in [
        (
            "Origin: https://example.com",
            "Origin https://example.com, Host localhost, Sec-Fetch-Site (none), https: false.",
        ),
        (
            "Origin: https://example.com\nSec-Fetch-Site: same-site",
            "Origin https://example.com, Host localhost, Sec-Fetch-Site same-site, https: false.",
        ),
        (
            "Sec-Fetch-Site: cross-site",
            "Origin (none), Host localhost, Sec-Fetch-Site cross-site, https: false.",
        ),
        (
            "Origin: http://localhost\nX-Forwarded-Proto: https",
            "Origin http://localhost, Host localhost, Sec-Fetch-Site (none), https: true.",
        ),
    ] {
        let reply = client.ask(&format!("POST /\n{fields}")).await;
        assert_eq!(reply.status, 403, "{fields}");
        let detail = reply.text();
        assert!(detail.starts_with(start), "{detail}");
        for advice in ["proxy_set_header Host $host", "trusted_proxies", "trusted_origins"]
        {
            assert!(detail.contains(advice), "{detail}");
        }
    }
}

#[test]
fn a_trusted_origin_without_scheme_or_with_a_path_is_refused_at_start() {
    for (origin, is_valid) in [
        ("https://example.com", true),
        ("http://example.com:8080", true),
        ("https://[2001:db8::1]:8443", true),
        ("https://example.com/", false),
        ("example.com", false),
        ("https://", false),
        ("", false),
    ] {
        let trusted_origins = vec![origin.to_owned()];
        let made = Application::new([], Settings { trusted_origins, ..settings() });
        assert_eq!(made.is_ok(), is_valid, "{origin}");
        if let Err(error) = made {
            let start = format!("trusted_origins: {origin:?} is not like https://");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}

/// Returns what the proxy says of the client, and the `Connection` field that it sent itself.
struct AddressHandler;

impl RequestHandler for AddressHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let scheme = if exchange.is_https() { "https" } else { "http" };
        let connection = exchange.request().field("Connection").unwrap_or("(none)");
        let text = format!("{scheme} {} {connection}", exchange.remote_ip());
        exchange.write(text)
    }
}

/// Returns the length of an upload.
struct UploadHandler;

impl RequestHandler for UploadHandler {
    methods!(Post);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let length: usize = exchange.get_files("file").map(|file| file.body.len()).sum();
        exchange.write(format!("{length} bytes"))
    }
}

/// Tells the stream that its first word has been received.
static RECEIVED: Notify = Notify::const_new();

/// Streams one word, and another when the test has received the first.
struct StreamHandler;

impl RequestHandler for StreamHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.stream(async move |sender| {
            sender.send("first").await?;
            RECEIVED.notified().await;
            sender.send(" second").await?;
            Ok(())
        })
    }
}

/// Serves the application of these tests, which trusts nginx.
async fn behind_nginx() -> Running {
    let routes: [(&str, Handler); 4] = [
        ("/", handler::<DetailHandler>),
        ("/address", handler::<AddressHandler>),
        ("/upload", handler::<UploadHandler>),
        ("/stream", handler::<StreamHandler>),
    ];
    let settings = Settings {
        trusted_proxies: vec![[127, 0, 0, 1].into()],
        allowed_hosts: vec![String::from("example.com")],
        limits: Limits { max_content: 8 * 1024 * 1024, ..Limits::default() },
        ..settings()
    };
    serve(Application::new(routes, settings).unwrap()).await
}

/// Serves the demo. The name of its user is that of the test, because demos share their store.
async fn demo_behind(username: &str, trusted_proxies: Vec<Network>) -> Running {
    let options = Options {
        allowed_hosts: vec![String::from("example.com")],
        trusted_proxies,
        username: username.to_owned(),
        ..Options::default()
    };
    serve(make_app(options).expect("the demo is whole")).await
}

/// Logs in to the demo through nginx as a browser does, and returns the response.
fn log_in(nginx: &Nginx, url: &str, username: &str, fields: &[&str]) -> String {
    let page = nginx.ask(&[&format!("{url}/login")]);
    let (_, rest) =
        page.split_once("name=\"_xsrf\" value=\"").expect("a form with a token");
    let token = rest.split('"').next().unwrap();
    let form = format!("_xsrf={token}&username={username}&password=123");
    let fields: Vec<&str> = fields.iter().flat_map(|field| ["--header", field]).collect();
    let target = format!("{url}/login");
    nginx.ask(&[&["--include", "--data", &form, &target], &fields[..]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_nginx_sets_a_secure_host_cookie() {
    let server = demo_behind("nginx-whole", vec![[127, 0, 0, 1].into()]).await;
    let Some(nginx) = Nginx::start(server.address) else { return };
    let reply = log_in(
        &nginx,
        "https://example.com",
        "nginx-whole",
        &["Origin: https://example.com"],
    );
    assert!(reply.starts_with("HTTP/1.1 302 "), "{reply}");
    let cookie =
        reply.lines().find(|line| line.starts_with("Set-Cookie: __Host-session_id="));
    assert!(cookie.expect(&reply).contains("; Secure"), "{reply}");
    let page = nginx.ask(&["https://example.com/main"]);
    assert!(page.contains("this is main page"), "{page}");
    let sessions = nginx.ask(&["https://example.com/sessions"]);
    assert!(sessions.contains(CLIENT), "{sessions}");
    let redirect = nginx.ask(&["--head", "http://example.com/main?a=1"]);
    assert!(
        redirect.contains("\r\nLocation: https://example.com/main?a=1\r\n"),
        "{redirect}"
    );
}

/// The proxy says neither `Host` nor the scheme. Current browsers send `Sec-Fetch-Site` to
/// https sites, and nothing but `Origin` to http sites.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_through_a_bare_proxy_pass_needs_a_current_browser_and_https() {
    let server = demo_behind("nginx-bare", Vec::new()).await;
    let Some(nginx) = Nginx::start_bare(server.address) else { return };
    let fields = ["Origin: https://example.com", "Sec-Fetch-Site: same-origin"];
    let reply = log_in(&nginx, "https://example.com", "nginx-bare", &fields);
    assert!(reply.starts_with("HTTP/1.1 302 "), "{reply}");
    assert!(reply.contains("\r\nSet-Cookie: session_id="), "{reply}");
    assert!(!reply.contains("Secure"), "{reply}");
    let page = nginx.ask(&["https://example.com/main"]);
    assert!(page.contains("this is main page"), "{page}");

    let reply =
        log_in(&nginx, "http://example.com", "nginx-bare", &["Origin: http://example.com"]);
    assert!(reply.starts_with("HTTP/1.1 403 "), "{reply}");
    assert!(reply.contains("Cross-site request rejected."), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_through_a_bare_proxy_pass_is_refused_with_the_directive_to_add() {
    let application = Application::new([("/", handler::<DetailHandler>)], settings());
    let server = serve(application.unwrap()).await;
    let Some(nginx) = Nginx::start_bare(server.address) else { return };
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://example.com/");
        let field = format!("Origin: {scheme}://example.com");
        let detail = nginx.ask(&["--request", "POST", "--header", &field, &url]);
        let fields = format!(
            "Origin {scheme}://example.com, Host {}, Sec-Fetch-Site",
            server.address
        );
        assert!(detail.starts_with(&fields), "{detail}");
        assert!(detail.contains("proxy_set_header Host $host"), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_behind_nginx_has_its_own_address_and_cannot_choose_another() {
    let server = behind_nginx().await;
    let Some(nginx) = Nginx::start(server.address) else { return };
    let url = "https://example.com/address";
    let expected = format!("https {CLIENT} (none)");
    assert_eq!(nginx.ask(&[url]), expected);
    for spoofed in ["6.6.6.6", "6.6.6.6, 127.0.0.1", "[::1]:80", "nonsense", ","] {
        let addresses = format!("X-Forwarded-For: {spoofed}");
        let fields = ["--header", &addresses, "--header", "X-Forwarded-Proto: http"];
        assert_eq!(nginx.ask(&[&fields[..], &[url]].concat()), expected, "{spoofed}");
    }
}

/// Without trust, what the client has sent through a proxy that adds nothing counts for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_behind_a_bare_proxy_pass_cannot_choose_its_address_either() {
    let application =
        Application::new([("/address", handler::<AddressHandler>)], settings());
    let server = serve(application.unwrap()).await;
    let Some(nginx) = Nginx::start_bare(server.address) else { return };
    let fields =
        ["--header", "X-Forwarded-For: 6.6.6.6", "--header", "X-Forwarded-Proto: https"];
    let reply = nginx.ask(&[&fields[..], &["https://example.com/address"]].concat());
    assert_eq!(reply, "http 127.0.0.1 close");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_keeps_its_connection_to_the_server() {
    let server = behind_nginx().await;
    let Some(nginx) = Nginx::start(server.address) else { return };
    for _ in 0..5 {
        let reply = nginx.ask(&["https://example.com/address"]);
        assert!(reply.ends_with(" (none)"), "no Connection: close: {reply}");
        assert_eq!(server.state.connections(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_several_megabytes_passes_nginx() {
    let server = behind_nginx().await;
    let Some(nginx) = Nginx::start(server.address) else { return };
    std::fs::write(nginx.file("large"), vec![b'x'; 5_000_000]).unwrap();
    let url = "https://example.com/upload";
    assert_eq!(nginx.ask(&["--form", "file=@large", url]), "5000000 bytes");
    // Above max_content, and below nginx's own limit.
    std::fs::write(nginx.file("larger"), vec![b'x'; 9_000_000]).unwrap();
    let reply = nginx.ask(&["--include", "--form", "file=@larger", url]);
    assert!(reply.contains("HTTP/1.1 413 "), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_nginx_while_it_is_made() {
    let server = behind_nginx().await;
    let Some(nginx) = Nginx::start(server.address) else { return };
    let mut curl = nginx.curl(&["--no-buffer", "https://example.com/stream"]);
    let mut curl = curl.stdout(Stdio::piped()).spawn().expect("curl starts");
    let mut output = curl.stdout.take().expect("standard output is piped");
    let mut first = [0; 5];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    RECEIVED.notify_one();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, " second");
    assert!(curl.wait().unwrap().success());
}

/// There is no WebSocket. A server may ignore `Upgrade` (RFC 9110 section 7.8), also if nginx
/// passes it on with the two lines of its WebSocket manual.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_to_upgrade_to_websocket_gets_a_plain_response() {
    let server = behind_nginx().await;
    let page = crate::nginx::blocks("nginx").remove(0);
    let passed = "proxy_set_header Upgrade $http_upgrade;\n\
                  proxy_set_header Connection \"upgrade\";";
    let stripped = "proxy_set_header Connection \"\";";
    assert!(page.contains(stripped), "{page}");
    for (configuration, connection) in
        [(page.clone(), "(none)"), (page.replace(stripped, passed), "upgrade")]
    {
        let Some(nginx) = Nginx::start_with(&configuration, server.address) else { return };
        let reply = nginx.ask(&[
            "--include",
            "--header",
            "Connection: Upgrade",
            "--header",
            "Upgrade: websocket",
            "--header",
            "Sec-WebSocket-Version: 13",
            "--header",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "https://example.com/address",
        ]);
        assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
        assert!(reply.ends_with(&format!("https {CLIENT} {connection}")), "{reply}");
    }
}
