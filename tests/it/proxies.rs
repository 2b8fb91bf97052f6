//! Reverse proxies: the fields that they send, the networks that they are in, and a real nginx
//! with the configuration of the guide.

use dustdevil::{
    Application, Error, Exchange, HttpError, Method, Network, RequestHandler, Result,
    Settings, handler,
};

use crate::support::{exchange, serve, settings};

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
        ("::/0", "10.0.0.1", false),
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
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        assert_eq!(error.to_string(), format!("invalid network {text:?}: {reason}"));
    }
}

/// Returns the client's address and scheme, and the `Connection` field that the proxy sent.
struct AddressHandler;

impl RequestHandler for AddressHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let scheme = if exchange.is_https() { "https" } else { "http" };
        let connection = exchange.request().field("Connection").unwrap_or("no field");
        exchange.write(format!("{scheme} {} {connection}", exchange.remote_ip()))
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
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

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
    for (fields, start, advice) in [
        (
            "Origin: https://example.com",
            "Origin https://example.com, Host localhost: they differ.",
            "proxy_set_header Host $host",
        ),
        (
            "Origin: https://example.com\nSec-Fetch-Site: same-site",
            "Origin https://example.com, Host localhost: the browser says",
            "trusted_origins",
        ),
        (
            "Sec-Fetch-Site: cross-site",
            "Origin none, Host localhost: the browser says",
            "trusted_origins",
        ),
        (
            "Origin: http://localhost\nX-Forwarded-Proto: https",
            "Origin http://localhost, Host localhost: a proxy in trusted_proxies says",
            "X-Forwarded-Proto",
        ),
    ] {
        let reply = client.ask(&format!("POST /\n{fields}")).await;
        assert_eq!(reply.status, 403, "{fields}");
        let detail = reply.text();
        assert!(detail.starts_with(start) && detail.contains(advice), "{detail}");
    }
}

#[test]
fn a_trusted_origin_that_no_browser_sends_is_refused_at_start() {
    for (origin, is_valid) in [
        ("https://example.com", true),
        ("http://example.com:8080", true),
        ("https://[2001:db8::1]:8443", true),
        ("https://example.com/", false),
        ("https://example.com:443", false),
        ("http://example.com:80", false),
        ("https://Example.com", false),
        ("example.com", false),
        ("https://", false),
        ("://example.com", false),
        ("", false),
    ] {
        let trusted_origins = vec![origin.to_owned()];
        let made = Application::new([], Settings { trusted_origins, ..settings() });
        assert_eq!(made.is_ok(), is_valid, "{origin}");
        if let Err(error) = made {
            let start = format!("trusted_origins: {origin:?} is not an origin");
            assert!(error.to_string().starts_with(&start), "{error}");
        }
    }
}
