//! Cookies as RFC 6265bis wants a server to send and parse them. Their form on the wire is in
//! `tests/transcripts/cookies`, and the session's cookie is tested in `sessions`.

use std::time::{Duration, UNIX_EPOCH};

use dustdevil::http::{cookie, date};
use dustdevil::web::xsrf::{Secret, TokenOwner};
use dustdevil::{
    Application, Exchange, Method, RequestHandler, Result, SameSite, SetCookie, Settings,
    handler, methods,
};

use crate::resources::VisitsHandler;
use crate::support::{Reply, Running, Visitor, serve, settings, store};

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
        (cookie("a").partitioned(true).secure(true), true),
        (cookie("a").partitioned(true), false),
    ] {
        assert_eq!(cookie.to_field_value().is_ok(), is_kept, "{cookie:?}");
    }
}

/// The error reaches the log only, so it must name what to change.
#[test]
fn the_error_of_a_cookie_names_the_rule_that_it_breaks() {
    let cookie = |name: &str| SetCookie::new(name, "value");
    for (cookie, rule) in [
        (cookie("a b"), "name must be a token"),
        (SetCookie::new("a", "b c"), "value must be encoded"),
        (cookie("a").path("b"), "path or domain"),
        (cookie(&"a".repeat(4092)), "4,096 bytes"),
        (cookie("a").same_site(SameSite::None), "Secure"),
        (cookie("__Host-a").secure(true).path("/b"), "Path=/"),
    ] {
        let error = cookie.to_field_value().unwrap_err().to_string();
        assert!(error.starts_with("invalid cookie \"") && error.contains(rule), "{error}");
    }
}

/// A browser keeps a partitioned cookie and another one of the same name side by side (CHIPS).
#[tokio::test]
async fn a_partitioned_cookie_does_not_replace_the_other_of_its_name() {
    let cookie = |value: &str| SetCookie::new("a", value).secure(true);
    assert_eq!(
        cookie("1").partitioned(true).same_site(SameSite::None).to_field_value().unwrap(),
        "a=1; Path=/; HttpOnly; Secure; SameSite=None; Partitioned"
    );
    let application =
        Application::new([("/", handler::<VerbsHandler>)], settings()).unwrap();
    let mut exchange = crate::support::exchange(&application, "GET /");
    for set in [cookie("1"), cookie("2").partitioned(true), cookie("3").partitioned(true)] {
        exchange.set_cookie(set).unwrap();
    }
    assert!(exchange.set_cookie(SetCookie::new("a", "4").partitioned(true)).is_err());
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
                            .partitioned(secure && !http_only)
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
                "Secure" | "HttpOnly" | "Partitioned" => part == name,
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

/// Python's `http.cookies` and Tornado put a value with a semicolon, a comma, a space or a
/// quote into quotes, and write such characters as `\073` or `\"`.
#[test]
fn a_value_that_tornado_or_python_quoted_is_read_as_it_was_set() {
    let value = |field: &str| {
        let values: Vec<String> =
            cookie::values(field.as_bytes(), "a").map(String::from).collect();
        assert_eq!(values.len(), 1, "{field}");
        values.concat()
    };
    for (field, expected) in [
        (r#"a="a\073b""#, "a;b"),
        (r#"a="\073\054\040""#, ";, "),
        (r#"a="{\"a\": \"b\\c\"}""#, r#"{"a": "b\c"}"#),
        (r#"a="\\073""#, r"\073"),
        (r#"a="\344\377\000""#, "\u{e4}\u{ff}\0"),
        ("a=\"\u{20ac}\\073\"", "\u{20ac};"),
        // Not an escape of three octal digits: the backslash alone is removed.
        (r#"a="\400\08\+12\73""#, "40008+1273"),
        ("a=\"\\\u{e4}\"", "\u{e4}"),
        (r#"a="b\""#, r"b\"),
        // Without quotes at both ends, a backslash is a backslash.
        (r"a=a\073b", r"a\073b"),
        (r#"a="a\073b"#, r#""a\073b"#),
        (r#"a=a\073b""#, r#"a\073b""#),
        ("a=\"", "\""),
    ] {
        assert_eq!(value(field), expected, "{field}");
    }
    assert_eq!(cookie::values(b"a=\"\xff\\073\"; a=1", "a").collect::<Vec<_>>(), ["1"]);
}

/// The value of the signed cookies.
const VALUE: &str = "5|\"\u{20ac}\"; a:b.c";

/// Their lifetime.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Sets and clears what the arguments `do` name, in their order, and answers with the signed
/// cookie that `opened` names, or else with the cookie `a`.
struct VerbsHandler;

impl RequestHandler for VerbsHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        for verb in exchange.get_arguments("do")? {
            match verb.split_once(' ').unwrap_or((&verb, "")) {
                ("set", name) => exchange.set_cookie(SetCookie::new(name, "new"))?,
                ("clear", name) => exchange.clear_cookie(name)?,
                ("remove", name) => exchange.set_cookie(SetCookie::removal(name))?,
                ("clear-all", _) => exchange.clear_all_cookies().await?,
                ("visit", _) => exchange.session().set("visited", "yes").await?,
                ("token", _) => drop(exchange.xsrf_token().await?),
                ("sign", name) => exchange.set_signed_cookie(name, VALUE, DAY)?,
                _ => unreachable!("{verb}"),
            }
        }
        match exchange.get_query_argument("opened") {
            Ok(name) => {
                exchange.write(format!("{:?}", exchange.get_signed_cookie(&name, DAY)))
            }
            Err(_) => exchange.write(exchange.get_cookie("a").unwrap_or_default()),
        }
    }
}

/// A server whose clients may use https.
async fn serve_verbs(settings: Settings) -> Running {
    let trusted_proxies = vec![[127, 0, 0, 1].into()];
    let settings = Settings { trusted_proxies, ..settings };
    serve(Application::new([("/", handler::<VerbsHandler>)], settings).unwrap()).await
}

/// Asks for verbs, such as `clear a`, and returns the Set-Cookie lines up to `HttpOnly`.
async fn lines_of(server: &Running, verbs: &[&str], fields: &str) -> Vec<String> {
    let verbs: Vec<String> =
        verbs.iter().map(|verb| format!("do={}", dustdevil::escape::url(verb))).collect();
    let head = format!("GET /?{}{fields}", verbs.join("&"));
    let reply = server.connect().await.ask(&head).await;
    assert_eq!(reply.status, 200, "{head}");
    let lines = reply.fields_named("Set-Cookie");
    lines.map(|line| line.split("; HttpOnly").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cookie_is_removed_only_from_a_client_that_sent_one() {
    let server = serve_verbs(settings()).await;
    let is_removal = |lines: &[String], name: &str| {
        let start = format!("{name}=; Path=/; Max-Age=0;");
        lines.len() == 1 && lines[0].starts_with(&start)
    };
    let none = Vec::<String>::new();
    assert_eq!(lines_of(&server, &["clear a"], "").await, none);
    assert_eq!(lines_of(&server, &["clear a"], "\nCookie: b=a; A=1; xa=1").await, none);
    for cookie in ["a=1", "b=2; a=", "a=\u{20}\t", "a=\"", "b=1\nCookie: a=2"] {
        let lines = lines_of(&server, &["clear a"], &format!("\nCookie: {cookie}")).await;
        assert!(is_removal(&lines, "a"), "{cookie}: {lines:?}");
    }
    let https = "\nX-Forwarded-Proto: https";
    let sent = format!("{https}\nCookie: __Host-a=1");
    assert_eq!(lines_of(&server, &["clear __Host-a"], https).await, none);
    assert!(is_removal(&lines_of(&server, &["clear __Host-a"], &sent).await, "__Host-a"));
    // A removal that the handler builds itself is always sent: whether the client has a cookie
    // with another path or domain cannot be known from the request.
    assert!(is_removal(&lines_of(&server, &["remove a"], "").await, "a"));
}

#[tokio::test]
async fn a_cookie_with_a_value_that_is_not_text_can_be_removed() {
    let server = serve_verbs(settings()).await;
    let mut client = server.connect().await;
    client
        .send(b"GET /?do=clear+a HTTP/1.1\r\nHost: localhost\r\nCookie: a=\xff\r\n\r\n")
        .await;
    let reply = client.receive().await;
    assert!(reply.cookie_line("a").unwrap().contains("Max-Age=0"));
}

#[tokio::test]
async fn clearing_a_cookie_takes_back_what_this_response_would_have_set() {
    let server = serve_verbs(settings()).await;
    let sent = "\nCookie: a=1";
    let verbs = ["set a", "set b", "clear a"];
    assert_eq!(lines_of(&server, &verbs, "").await, ["b=new; Path=/"]);
    let lines = lines_of(&server, &verbs, sent).await;
    assert_eq!(lines[0], "b=new; Path=/");
    assert!(
        lines[1].starts_with("a=; Path=/; Max-Age=0;") && lines.len() == 2,
        "{lines:?}"
    );
    assert_eq!(lines_of(&server, &["clear a", "set a"], sent).await, ["a=new; Path=/"]);
}

/// A client without cookies gets a session and loses it again within one request: it never had
/// the id, so there is nothing to delete.
#[tokio::test]
async fn a_session_that_begins_and_ends_in_one_request_leaves_no_cookie() {
    let application =
        Application::new([("/visits", handler::<VisitsHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let reply = server.visitor().get("/visits?end").await;
    assert_eq!(reply.fields_named("Set-Cookie").collect::<Vec<_>>(), Vec::<&str>::new());
}

#[tokio::test]
async fn clear_all_cookies_removes_what_the_client_sent_and_ends_its_session() {
    let store = store();
    let server =
        serve_verbs(Settings { session_store: Some(store.clone()), ..settings() }).await;
    let mut visitor = server.visitor();
    visitor.get("/?do=visit&do=set+a&do=set+b").await;
    let names = |visitor: &Visitor| visitor.cookies.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        (names(&visitor), store.len()),
        (["a", "b", "session_id"].map(String::from).into(), 1)
    );
    let reply = visitor.get("/?do=set+c&do=clear-all").await;
    assert_eq!(reply.fields_named("Set-Cookie").count(), 4, "c is new, and stays");
    assert_eq!((names(&visitor), store.len()), (vec![String::from("c")], 0));
    // A session that begins after that has a new id.
    visitor.get("/?do=clear-all&do=visit").await;
    assert_eq!((names(&visitor), store.len()), (vec![String::from("session_id")], 1));
    let reply = server.visitor().get("/?do=clear-all").await;
    assert_eq!(reply.field("Set-Cookie"), None, "there is none");
}

/// A session that is visited for the first time after the renew interval gets its cookie again.
/// That must not undo the removal.
#[tokio::test(start_paused = true)]
async fn a_renewal_of_the_sessions_cookie_does_not_undo_clear_all_cookies() {
    let server = serve_verbs(settings()).await;
    let mut visitor = server.visitor();
    visitor.get("/?do=visit").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    visitor.get("/?do=visit&do=clear-all").await;
    assert!(visitor.cookies.is_empty(), "{:?}", visitor.cookies);
}

/// Any client can send any name; none of them may cost it, or others, an error page or more.
#[tokio::test]
async fn clear_all_cookies_passes_over_names_that_it_cannot_remove() {
    let server = serve_verbs(settings()).await;
    let sent = "\nCookie: __Host-a=1; __Secure-b=2; \u{e4}=3; a b=4; =5; c=6";
    let lines = lines_of(&server, &["clear-all"], sent).await;
    assert!(matches!(&lines[..], [line] if line.starts_with("c=;")), "{lines:?}");
    let https = format!("\nX-Forwarded-Proto: https{sent}");
    let names: Vec<String> = lines_of(&server, &["clear-all"], &https).await;
    let names = names.iter().map(|line| line.split('=').next().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["__Host-a", "__Secure-b", "c"]);
    let many: String = (0..2000).map(|number| format!("n{number}=1; ")).collect();
    let lines = lines_of(&server, &["clear-all"], &format!("\nCookie: {many}")).await;
    assert_eq!(lines.len(), 180);
}

/// The session's cookie, and the visitor id's: both must reach the server from the same pages.
#[tokio::test]
async fn same_site_of_the_sessions_cookie_is_a_setting() {
    for (session_same_site, over_http, over_https) in [
        (SameSite::Lax, "Lax", "Lax"),
        (SameSite::Strict, "Strict", "Strict"),
        // Browsers reject None without Secure; Lax lets the pages work over plain http.
        (SameSite::None, "Lax", "None"),
    ] {
        let server = serve_verbs(Settings { session_same_site, ..settings() }).await;
        for (fields, prefix, expected) in
            [("", "", over_http), ("\nX-Forwarded-Proto: https", "__Host-", over_https)]
        {
            let mut visitor = server.visitor();
            let token = visitor.request(&format!("GET /?do=token{fields}"), "").await;
            let begin = visitor.request(&format!("GET /?do=visit{fields}"), "").await;
            let end = visitor.request(&format!("GET /?do=clear-all{fields}"), "").await;
            for (reply, names) in [
                (&token, &["_xsrf"][..]),
                (&begin, &["session_id"]),
                (&end, &["session_id", "_xsrf"]),
            ] {
                for name in names {
                    let line = reply.cookie_line(&format!("{prefix}{name}")).unwrap();
                    let same_site = line.rsplit_once("SameSite=").unwrap().1;
                    assert_eq!(same_site, expected, "{line}");
                    assert!(is_taken(line, !fields.is_empty()), "{line}");
                }
            }
            assert!(visitor.cookies.is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_until_the_browser_closes_has_no_max_age_and_times_out_all_the_same() {
    let server =
        serve_verbs(Settings { session_until_browser_closes: true, ..settings() }).await;
    let mut visitor = server.visitor();
    let begin = visitor.get("/?do=visit").await;
    let line = begin.cookie_line("session_id").unwrap().to_owned();
    assert!(!line.contains("Max-Age") && !line.contains("Expires"), "{line}");
    assert_eq!(visitor.get("/?do=visit").await.field("Set-Cookie"), None);
    // After the renew interval, the same cookie is sent again.
    tokio::time::advance(Duration::from_secs(60)).await;
    let renewed = visitor.get("/?do=visit").await;
    assert_eq!(renewed.cookie_line("session_id"), Some(&*line));
    // The idle timeout is the server's.
    tokio::time::advance(Duration::from_secs(301)).await;
    let other = visitor.get("/?do=visit").await;
    assert_ne!(other.cookie("session_id").unwrap(), begin.cookie("session_id").unwrap());
    let end = visitor.get("/?do=clear-all").await;
    assert!(end.cookie_line("session_id").unwrap().contains("Max-Age=0;"));
}

/// Sends queries with one curl, and returns the last content and the names in its cookie jar.
async fn curl(server: &Running, queries: &[&str]) -> (String, Vec<String>) {
    let jar = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cookie-jar");
    let mut curl = std::process::Command::new("curl");
    // Not `-b`: before it writes the jar, curl 7.88 reads that file again, with all that was
    // removed.
    curl.args(["-sS", "--fail-with-body", "-w", "\n", "-c"]).arg(&jar);
    curl.args(queries.iter().map(|query| format!("http://{}/?{query}", server.address)));
    // The server runs on this thread.
    let output = tokio::task::spawn_blocking(move || curl.output().expect("curl"));
    let output = output.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let jar = std::fs::read_to_string(jar).unwrap();
    let mut names: Vec<_> =
        jar.lines().filter_map(|line| line.split('\t').nth(5)).collect();
    names.sort_unstable();
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().last().unwrap().to_owned(), names.into_iter().map(String::from).collect())
}

#[tokio::test]
async fn curls_cookie_jar_keeps_a_signed_cookie_and_loses_what_is_cleared() {
    let server = serve_verbs(with_secret()).await;
    let set = "do=sign+user&do=set+a&do=visit";
    let (opened, names) = curl(&server, &[set, "opened=user"]).await;
    assert_eq!(opened, format!("{:?}", Some(VALUE)));
    assert_eq!(names, ["a", "session_id", "user"]);
    assert_eq!(curl(&server, &[set, "do=clear+a"]).await.1, ["session_id", "user"]);
    assert_eq!(curl(&server, &[set, "do=clear-all"]).await.1, Vec::<String>::new());
}

/// Settings with a key that signs cookies.
fn with_secret() -> Settings {
    Settings { cookie_secret: vec![b'k'; 32], ..settings() }
}

#[tokio::test]
async fn a_signed_cookie_comes_back_to_its_name_and_to_every_process_with_the_secret() {
    let (one, other) = (serve_verbs(with_secret()).await, serve_verbs(with_secret()).await);
    let foreign =
        serve_verbs(Settings { cookie_secret: vec![b'l'; 32], ..settings() }).await;
    let reply = one.connect().await.ask("GET /?do=sign+user").await;
    let line = reply.cookie_line("user").unwrap();
    assert!(line.contains("; Max-Age=86400; "), "{line}");
    let cookie = reply.cookie("user").unwrap();
    for (server, opened, sent, expected) in [
        (&one, "user", format!("user={cookie}"), Some(VALUE)),
        (&other, "user", format!("user={cookie}"), Some(VALUE)),
        (&one, "user", format!("user=planted; user={cookie}; user=planted"), Some(VALUE)),
        (&one, "user", format!("user=\"{cookie}\""), Some(VALUE)),
        (&one, "admin", format!("admin={cookie}"), None),
        (&one, "use", format!("use=r{cookie}"), None),
        (&one, "user", format!("user={cookie}0"), None),
        (&one, "user", String::from("user="), None),
        (&one, "user", String::from("user=::"), None),
        (&foreign, "user", format!("user={cookie}"), None),
    ] {
        let head = format!("GET /?opened={opened}\nCookie: {sent}");
        let reply = server.connect().await.ask(&head).await;
        assert_eq!(reply.text(), format!("{expected:?}"), "{head}");
    }
}

#[tokio::test]
async fn signed_cookies_need_a_secret_that_outlives_the_process() {
    let server = serve_verbs(settings()).await;
    let reply = server.connect().await.ask("GET /?do=sign+user").await;
    assert_eq!((reply.status, reply.field("Set-Cookie")), (500, None));
    let application =
        Application::new([("/", handler::<VerbsHandler>)], settings()).unwrap();
    let exchange = crate::support::exchange(&application, "GET /");
    let error = exchange.create_signed_value("user", VALUE).unwrap_err().to_string();
    assert!(error.contains("cookie_secret"), "{error}");
}

/// A browser would drop a longer cookie silently.
#[tokio::test]
async fn a_signed_cookie_that_is_too_long_for_browsers_is_an_error_that_says_so() {
    let application =
        Application::new([("/", handler::<VerbsHandler>)], with_secret()).unwrap();
    let mut exchange = crate::support::exchange(&application, "GET /");
    exchange.set_signed_cookie("user", &"a".repeat(4000), DAY).unwrap();
    let error = exchange.set_signed_cookie("user", &"a".repeat(4020), DAY).unwrap_err();
    assert!(error.to_string().contains("4,096 bytes"), "{error}");
}

/// A client may keep a cookie for longer than its `Max-Age`, and the clocks of servers differ.
#[test]
fn the_age_of_a_signed_cookie_is_checked_by_the_server() {
    let secret = Secret::new(&[b'k'; 32]);
    let issued = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let cookie = secret.seal("user", VALUE, issued);
    let seconds = Duration::from_secs;
    for (now, max_age, is_valid) in [
        (issued, DAY, true),
        (issued + DAY, DAY, true),
        (issued + DAY + seconds(1), DAY, false),
        (issued + DAY, seconds(60), false),
        (issued + DAY, 2 * DAY, true),
        (issued, Duration::ZERO, true),
        (issued + DAY, Duration::MAX, true),
        (issued - seconds(300), DAY, true),
        (issued - seconds(301), DAY, false),
        (issued - seconds(301), Duration::MAX, false),
        (UNIX_EPOCH, Duration::MAX, false),
    ] {
        let value = secret.open("user", &cookie, now, max_age);
        assert_eq!(value.as_deref(), is_valid.then_some(VALUE), "{now:?} {max_age:?}");
    }
    // A clock before 1970 signs with that date.
    let early = secret.seal("user", VALUE, UNIX_EPOCH - DAY);
    assert!(secret.open("user", &early, UNIX_EPOCH, Duration::ZERO).is_some());
}

/// One secret signs visitor ids, tokens and cookies: none passes for another (domain
/// separation).
#[test]
fn no_signature_of_another_purpose_or_name_passes_as_a_signed_cookie() {
    let secret = Secret::new(&[b'k'; 32]);
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let visitor = secret.new_visitor_id();
    let (random, signature) = visitor.text().split_at(32);
    for forged in [
        visitor.text().to_owned(),
        format!("1700000000:{random}:{signature}"),
        format!("{random}:{signature}"),
        secret.issue(TokenOwner::Visitor(&visitor)),
    ] {
        for name in ["_xsrf", "visitor", "cookie", ""] {
            assert_eq!(secret.open(name, &forged, now, DAY), None, "{forged}");
        }
    }
    let cookie = secret.seal("_xsrf", random, now);
    assert!(secret.visitor_id(&cookie).is_none());
    // The same signed text, divided in another way.
    let cookie = secret.seal("a:1700000000", "b", now);
    assert!(secret.open("a:1700000000", &cookie, now, DAY).is_some());
    assert_eq!(secret.open("a", &format!("1700000000:{cookie}"), now, DAY), None);
    assert_eq!(secret.open("1700000000", &format!("a:{cookie}"), now, DAY), None);
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
