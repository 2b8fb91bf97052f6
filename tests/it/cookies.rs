//! Cookies as RFC 6265bis wants a server to send and parse them. Their form on the wire is in
//! `tests/transcripts/cookies`, and the session's cookie is tested in `sessions`.

use std::time::Duration;

use dustdevil::http::{cookie, date};
use dustdevil::{
    Application, Exchange, Method, RequestHandler, Result, SameSite, SetCookie, Settings,
    handler,
};

use crate::resources::VisitsHandler;
use crate::support::{Reply, serve, settings};

/// Returns `true` for a `cookie-octet` of RFC 6265bis section 4.1.1, which a value consists of.
fn is_cookie_octet(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
}

/// Returns `true` for a `tchar` of RFC 9110 section 5.6.2, which a token consists of.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Returns `true` for a byte that RFC 6265bis section 4.1.1 allows in an attribute.
fn is_attribute_byte(byte: u8) -> bool {
    matches!(byte, 0x20..=0x3a | 0x3c..=0x7e)
}

#[test]
fn text_outside_the_cookie_grammar_is_never_written() {
    for byte in 0..=0x7f_u8 {
        let text = format!("a{}b", char::from(byte));
        let name = SetCookie::new(text.clone(), "value").to_field_value();
        assert_eq!(name.is_ok(), is_tchar(byte), "a name with {byte:#x}");
        let value = SetCookie::new("name", text.clone()).to_field_value();
        assert_eq!(value.is_ok(), is_cookie_octet(byte), "a value with {byte:#x}");
        let path =
            SetCookie::new("name", "value").path(format!("/{text}")).to_field_value();
        assert_eq!(path.is_ok(), is_attribute_byte(byte), "a path with {byte:#x}");
        if !is_attribute_byte(byte) {
            let domain = SetCookie::new("name", "value").domain(text).to_field_value();
            assert!(domain.is_err(), "a domain with {byte:#x}");
        }
    }
    for name in ["", "n\u{e4}me"] {
        assert!(SetCookie::new(name, "value").to_field_value().is_err(), "{name:?}");
    }
    assert!(SetCookie::new("name", "v\u{e4}lue").to_field_value().is_err());
    assert_eq!(
        SetCookie::new("n", "").to_field_value().unwrap(),
        "n=; Path=/; HttpOnly; SameSite=Lax"
    );
}

#[test]
fn a_domain_is_a_name_and_a_path_begins_with_a_slash() {
    let with_domain = |domain: &str| SetCookie::new("name", "value").domain(domain);
    for domain in ["example.com", "a-b.example", "localhost", "127.0.0.1"] {
        assert!(with_domain(domain).to_field_value().is_ok(), "{domain}");
    }
    for domain in ["", ".example.com", "example.com.", "a..b", "a b", "-a.b", "a-.b", "a_b"]
    {
        assert!(with_domain(domain).to_field_value().is_err(), "{domain}");
    }
    for path in ["", "login", " /"] {
        let cookie = SetCookie::new("name", "value").path(path);
        assert!(cookie.to_field_value().is_err(), "{path}");
    }
}

/// Browsers drop invalid cookies silently, so the server reports them to the developer: the
/// conditions of the prefixes, and the limits of 4,096 bytes for name and value and 1,024 for
/// an attribute (RFC 6265bis section 5.6).
#[test]
fn a_cookie_that_no_browser_would_keep_is_an_error() {
    let cookie = |name: &str| SetCookie::new(name, "value");
    for (cookie, is_kept) in [
        (cookie("__Host-a").secure(true), true),
        (cookie("__Host-a"), false),
        (cookie("__host-a"), false),
        (cookie("__Host-a").secure(true).path("/a"), false),
        (cookie("__Host-a").secure(true).domain("example.com"), false),
        (cookie("__Secure-a").secure(true).path("/a"), true),
        (cookie("__secure-a"), false),
        (cookie(&"a".repeat(4091)), true),
        (cookie(&"a".repeat(4092)), false),
        (cookie("a").path(format!("/{}", "a".repeat(1023))), true),
        (cookie("a").path(format!("/{}", "a".repeat(1024))), false),
    ] {
        assert_eq!(cookie.to_field_value().is_ok(), is_kept, "{cookie:?}");
    }
}

/// Returns every combination of these attributes.
fn cookies() -> Vec<SetCookie> {
    let mut cookies = Vec::new();
    for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
        for secure in [true, false] {
            for http_only in [true, false] {
                for age in [None, Some(0), Some(60), Some(u64::MAX)] {
                    for domain in [None, Some("example.com")] {
                        let cookie = SetCookie::new("name", "value")
                            .same_site(same_site)
                            .secure(secure)
                            .http_only(http_only);
                        let cookie = match age {
                            Some(age) => cookie.max_age(Duration::from_secs(age)),
                            None => cookie,
                        };
                        cookies.push(match domain {
                            Some(domain) => cookie.domain(domain),
                            None => cookie,
                        });
                    }
                }
            }
        }
    }
    cookies
}

#[test]
fn no_attribute_comes_twice_and_each_is_as_the_grammar_has_it() {
    for line in cookies().iter().filter_map(|cookie| cookie.to_field_value().ok()) {
        let mut parts = line.split("; ");
        assert_eq!(parts.next(), Some("name=value"));
        let mut names = Vec::new();
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            assert!(!names.contains(&name), "{line}");
            names.push(name);
            let is_valid = match name {
                "Path" => value == "/",
                "Domain" => value == "example.com",
                "Max-Age" => value.bytes().all(|byte| byte.is_ascii_digit()),
                "Expires" => date::parse(value).map(date::format).as_deref() == Some(value),
                "SameSite" => ["Strict", "Lax", "None"].contains(&value),
                "Secure" | "HttpOnly" => part == name,
                _ => false,
            };
            assert!(is_valid, "{line}");
        }
    }
}

#[test]
fn no_browser_takes_same_site_none_without_secure_so_none_is_sent() {
    let (none, others): (Vec<_>, Vec<_>) = cookies()
        .into_iter()
        .map(|cookie| format!("{cookie:?}"))
        .zip(cookies().iter().map(SetCookie::to_field_value))
        .partition(|(cookie, _)| cookie.contains("same_site: None"));
    for (cookie, line) in none {
        assert_eq!(line.is_ok(), cookie.contains("secure: true"), "{cookie}");
    }
    assert!(others.iter().all(|(_, line)| line.is_ok()));
}

#[test]
fn a_deleted_cookie_is_expired_for_old_and_new_browsers() {
    let line = SetCookie::removal("name").to_field_value().unwrap();
    assert!(line.starts_with("name=; Path=/; Max-Age=0; Expires="), "{line}");
    let (_, rest) = line.split_once("Expires=").unwrap();
    let expires = date::parse(rest.split(';').next().unwrap()).unwrap();
    assert!(expires <= std::time::SystemTime::now());
}

#[test]
fn a_malformed_pair_hides_no_other_cookie() {
    let values =
        |field: &'static str| cookie::values(field.as_bytes(), "a").collect::<Vec<_>>();
    assert_eq!(values("a=1"), ["1"]);
    assert_eq!(values("a=1; b=2; a=3"), ["1", "3"]);
    assert_eq!(values("b=a=1; xa=2; ax=3; A=4; a"), Vec::<&str>::new());
    assert_eq!(values(" a = 1 ;a=\t2\t; a=3=4; a=; a=\"\""), ["1", "2", "3=4", "", ""]);
    assert_eq!(values(";;a=1;=;; a=%3B; a=\"2\""), ["1", "%3B", "2"]);
    assert_eq!(values("a=\"; a=\"1"), ["\"", "\"1"]);
}

/// Sets the requested cookies: `?name=path` for each.
struct SetCookiesHandler;

impl RequestHandler for SetCookiesHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        for (number, path) in exchange.get_arguments("color")?.into_iter().enumerate() {
            exchange.set_cookie(SetCookie::new("color", number.to_string()).path(path))?;
        }
        exchange.set_cookie(SetCookie::new("other", "1"))
    }
}

async fn set_cookies(query: &str) -> Reply {
    let routes = [("/", handler::<SetCookiesHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    server.visitor().get(&format!("/?{query}")).await
}

#[tokio::test]
async fn each_cookie_has_a_line_of_its_own_and_the_last_of_its_name_counts() {
    let reply = set_cookies("color=/&color=/&color=/").await;
    let lines: Vec<&str> = reply.fields_named("Set-Cookie").collect();
    assert_eq!(
        lines,
        [
            "color=2; Path=/; HttpOnly; SameSite=Lax",
            "other=1; Path=/; HttpOnly; SameSite=Lax"
        ]
    );
}

/// A browser identifies a cookie by name, domain and path.
#[tokio::test]
async fn two_cookies_of_one_name_are_sent_only_if_the_browser_keeps_both() {
    let reply = set_cookies("color=/&color=/sub").await;
    let lines: Vec<&str> = reply
        .fields_named("Set-Cookie")
        .filter(|line| line.starts_with("color="))
        .collect();
    assert_eq!(lines.len(), 2, "another path makes another cookie: {lines:?}");
}

/// Returns `true` if a browser stores a cookie that came over this scheme (RFC 6265bis section
/// 5.7).
fn is_taken(line: &str, https: bool) -> bool {
    let attributes: Vec<&str> = line.split("; ").skip(1).collect();
    let name = line.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let secure = attributes.contains(&"Secure");
    let bound = attributes.contains(&"Path=/")
        && !attributes.iter().any(|attribute| attribute.starts_with("Domain="));
    let needs_secure = attributes.contains(&"SameSite=None")
        || name.starts_with("__secure-")
        || name.starts_with("__host-");
    let may_be_secure = if secure { https } else { !needs_secure };
    may_be_secure && (bound || !name.starts_with("__host-")) && line.len() < 1024
}

#[tokio::test]
async fn browsers_take_the_cookies_of_the_session_when_it_begins_and_when_it_ends() {
    let trusted_proxies = vec![[127, 0, 0, 1].into()];
    let routes = [("/visits", handler::<VisitsHandler> as dustdevil::Handler)];
    let application =
        Application::new(routes, Settings { trusted_proxies, ..settings() }).unwrap();
    let server = serve(application).await;
    assert!(!is_taken("__Host-a=1; Path=/", true), "the check itself");
    for https in [true, false] {
        let fields = if https { "\nX-Forwarded-Proto: https" } else { "" };
        let mut visitor = server.visitor();
        let begin = visitor.request(&format!("GET /visits{fields}"), "").await;
        let end = visitor.request(&format!("GET /visits?end{fields}"), "").await;
        let lines: Vec<String> = [begin, end]
            .iter()
            .flat_map(|reply| reply.fields_named("Set-Cookie"))
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| is_taken(line, https)), "{lines:?}");
        assert!(lines[1].contains("Max-Age=0"), "{lines:?}");
    }
}

#[tokio::test]
async fn a_prefix_in_other_letters_is_another_name() {
    let trusted_proxies = vec![[127, 0, 0, 1].into()];
    let routes = [("/visits", handler::<VisitsHandler> as dustdevil::Handler)];
    let application =
        Application::new(routes, Settings { trusted_proxies, ..settings() }).unwrap();
    let server = serve(application).await;
    let https = "GET /visits\nX-Forwarded-Proto: https";
    let mut client = server.connect().await;
    let id = client.ask(https).await.cookie("__Host-session_id").unwrap().to_owned();
    let own = client.ask(&format!("{https}\nCookie: __Host-session_id={id}")).await;
    assert_eq!(own.text(), "2");
    // Another host of the domain can plant any of these, because they do not begin with the
    // prefix.
    for name in [
        "__HOST-session_id",
        "__host-session_id",
        "__Secure-session_id",
        "session_id",
        "\u{2000}__Host-session_id",
        "\u{3000}__Host-session_id",
        "\u{a0}__Host-session_id",
        "\u{85}__Host-session_id",
        "__Host-session_id\u{2028}",
    ] {
        let reply = client.ask(&format!("{https}\nCookie: {name}={id}")).await;
        assert_eq!(reply.text(), "1", "{name:?}");
    }
    let blank =
        client.ask(&format!("{https}\nCookie: a=b;\t __Host-session_id\t={id}")).await;
    assert_eq!(blank.text(), "3", "these blanks belong to no name");
}

#[tokio::test]
async fn the_session_uses_few_small_cookies() {
    let routes = [("/visits", handler::<VisitsHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let reply = server.visitor().get("/visits").await;
    let lines: Vec<&str> = reply.fields_named("Set-Cookie").collect();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].len() < 200, "{}", lines[0]);
    assert_eq!(
        reply.cookie("session_id").unwrap().len(),
        32,
        "an id, and nothing of the session"
    );
}
