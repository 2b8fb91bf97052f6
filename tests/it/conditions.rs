//! Conditional requests as values: all combinations of preconditions (RFC 9110 section 13).
//! Their form on the wire is in `tests/transcripts/conditions`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dustdevil::http::conditions::{Outcome, Validators, evaluate, if_range_matches};
use dustdevil::http::date;
use dustdevil::{
    Application, Exchange, Method, RequestHandler, Result, SessionHandler, Status, handler,
};

use crate::resources::{DATE, TAG, settings_with_files};
use crate::support::{Reply, request, serve, settings};

const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn validators(etag: &str) -> Validators {
    Validators {
        etag: etag.to_owned(),
        last_modified: date::parse(DATE),
        date_is_strong: true,
    }
}

fn outcome_of(lines: &str, current: &Validators) -> Outcome {
    evaluate(&request(lines), current)
}

#[test]
fn tags_are_compared_as_in_the_table_of_the_rfc() {
    // RFC 9110 section 8.8.3.2.
    for (one, other, strongly, weakly) in [
        ("W/\"1\"", "W/\"1\"", false, true),
        ("W/\"1\"", "W/\"2\"", false, false),
        ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "W/\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
        ("\"1\"", "\"2\"", false, false),
        ("\"\"", "\"\"", true, true),
        ("\"W/1\"", "\"1\"", false, false),
    ] {
        let current = validators(other);
        let matches = outcome_of(&format!("GET /\nIf-Match: {one}"), &current);
        assert_eq!(matches == Outcome::Proceed, strongly, "If-Match: {one}, {other}");
        let differs = outcome_of(&format!("GET /\nIf-None-Match: {one}"), &current);
        assert_eq!(
            differs == Outcome::NotModified,
            weakly,
            "If-None-Match: {one}, {other}"
        );
        let counts =
            if_range_matches(&request(&format!("GET /\nIf-Range: {one}")), &current);
        assert_eq!(counts, strongly, "If-Range: {one}, {other}");
    }
}

/// The steps of RFC 9110 section 13.2.2. Each condition is absent, true or false.
fn evaluate_by_the_rfc(
    method: &str,
    [matches, unmodified, differs, modified]: [Option<bool>; 4],
) -> Outcome {
    let looks = method == "GET" || method == "HEAD";
    match (matches, unmodified) {
        (Some(false), _) | (None, Some(false)) => return Outcome::PreconditionFailed,
        _ => {}
    }
    match (differs, modified) {
        (Some(false), _) | (None, Some(false)) if looks => Outcome::NotModified,
        (Some(false), _) => Outcome::PreconditionFailed,
        _ => Outcome::Proceed,
    }
}

#[test]
fn all_combinations_of_four_conditions_follow_the_rfc() {
    let other = "\"dust\"";
    let (matching, differing, dates) = (
        [None, Some((TAG, true)), Some(("*", true)), Some((other, false))],
        [None, Some((other, true)), Some((TAG, false)), Some(("*", false))],
        [None, Some((EARLIER, true)), Some((DATE, false)), Some(("yesterday", true))],
    );
    let unchanged =
        [None, Some((DATE, true)), Some((EARLIER, false)), Some(("yesterday", true))];
    let mut met = 0;
    for method in ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"] {
        for matches in matching {
            for unmodified in unchanged {
                for differs in differing {
                    for modified in dates {
                        let conditions = [
                            ("If-Match", matches),
                            ("If-Unmodified-Since", unmodified),
                            ("If-None-Match", differs),
                            ("If-Modified-Since", modified),
                        ];
                        let lines: String = conditions
                            .iter()
                            .filter_map(|(name, given)| {
                                given.map(|(value, _)| format!("\n{name}: {value}"))
                            })
                            .collect();
                        let lines = format!("{method} /{lines}");
                        let conditions =
                            conditions.map(|(_, given)| given.map(|(_, truth)| truth));
                        let expected = evaluate_by_the_rfc(method, conditions);
                        assert_eq!(
                            outcome_of(&lines, &validators(TAG)),
                            expected,
                            "{lines}"
                        );
                        met += 1;
                    }
                }
            }
        }
    }
    assert_eq!(met, 6 * 4 * 4 * 4 * 4);
}

#[test]
fn dates_count_in_whole_seconds_and_a_missing_date_matches_nothing() {
    let mut current = validators(TAG);
    current.last_modified =
        current.last_modified.map(|date| date + Duration::from_millis(999));
    let not_modified = outcome_of(&format!("GET /\nIf-Modified-Since: {DATE}"), &current);
    assert_eq!(not_modified, Outcome::NotModified);
    let unmodified = outcome_of(&format!("GET /\nIf-Unmodified-Since: {DATE}"), &current);
    assert_eq!(unmodified, Outcome::Proceed);
    assert!(if_range_matches(&request(&format!("GET /\nIf-Range: {DATE}")), &current));
    current.last_modified = None;
    for field in ["If-Modified-Since", "If-Unmodified-Since"] {
        for date in [EARLIER, DATE, LATER] {
            let outcome = outcome_of(&format!("GET /\n{field}: {date}"), &current);
            assert_eq!(outcome, Outcome::Proceed, "{field}: {date}");
        }
    }
    assert!(!if_range_matches(&request(&format!("GET /\nIf-Range: {DATE}")), &current));
}

#[test]
fn dates_are_read_in_three_formats_and_written_in_one() {
    let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
    for text in [DATE, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(date::parse(text), Some(time), "{text}");
    }
    assert_eq!(date::format(time), DATE);
    // A two-digit year is in the century that puts it at most fifty years into the future.
    let year_of = |text: &str| {
        date::parse(text).map(date::format).map(|text| text[12..16].to_owned())
    };
    assert_eq!(year_of("Saturday, 06-Nov-99 08:49:37 GMT").as_deref(), Some("1999"));
    assert_eq!(year_of("Monday, 06-Nov-00 08:49:37 GMT").as_deref(), Some("2000"));
    assert_eq!(year_of("Friday, 06-Nov-26 08:49:37 GMT").as_deref(), Some("2026"));
}

#[test]
fn invalid_dates_are_rejected() {
    for text in [
        "",
        "0",
        "-1",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun,  06 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT; length=10",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994 GMT",
        "Sun Nov 6 08:49:37 1994",
        "1994-11-06T08:49:37Z",
        "S\u{fc}n, 06 Nov 1994 08:49:37 GMT",
    ] {
        assert_eq!(date::parse(text), None, "{text:?}");
    }
}

/// Returns the names of a reply's fields in lower case, without Date.
fn names(reply: &Reply) -> Vec<String> {
    let names = reply.fields.iter().map(|(name, _)| name.to_ascii_lowercase());
    names.filter(|name| name != "date").collect()
}

#[tokio::test]
async fn a_304_says_of_caching_what_a_200_would_and_nothing_of_content() {
    let application = Application::new([], settings_with_files("not_modified")).unwrap();
    let server = serve(application).await;
    let mut client = server.connect().await;
    for target in
        ["/static/digits.txt", "/static/digits.txt?v=781e5e245d69b566979b86e28d23f2c7"]
    {
        let whole = client.ask(&format!("GET {target}")).await;
        for condition in
            [format!("If-None-Match: {TAG}"), format!("If-Modified-Since: {DATE}")]
        {
            let reply = client.ask(&format!("GET {target}\n{condition}")).await;
            assert_eq!(reply.status, 304);
            for name in ["Cache-Control", "ETag", "Last-Modified", "Vary", "Expires"] {
                assert_eq!(reply.field(name), whole.field(name), "{name}");
            }
            assert!(reply.field("Date").is_some() && reply.field("ETag").is_some());
            for name in names(&reply) {
                assert!(
                    !name.starts_with("content-") && name != "transfer-encoding"
                        || name == "content-security-policy",
                    "{name}"
                );
            }
        }
    }
}

/// A page of the logged-in user, with an entity tag.
struct OwnPageHandler {
    base: SessionHandler,
}

impl RequestHandler for OwnPageHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let name = self.base.session.get("username").await?.unwrap_or_default();
        let current = Validators {
            etag: format!("\"{name}\""),
            last_modified: None,
            date_is_strong: true,
        };
        exchange.set_header("ETag", current.etag.clone())?;
        if evaluate(exchange.request(), &current) == Outcome::NotModified {
            exchange.set_status(Status::NOT_MODIFIED);
            exchange.finish();
            return Ok(());
        }
        exchange.write("hello")
    }
}

/// RFC 9110 section 15.4.5: a 304 has the `Vary` and `Cache-Control` fields that the 200 would
/// have, because a cache updates its copy with them.
#[tokio::test]
async fn a_304_of_a_page_that_asked_the_session_varies_with_the_cookie() {
    let application =
        Application::new([("/", handler::<OwnPageHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let mut client = server.connect().await;
    let whole = client.ask("GET /").await;
    let reply = client.ask("GET /\nIf-None-Match: \"\"").await;
    assert_eq!((whole.status, reply.status), (200, 304));
    for name in ["Vary", "Cache-Control", "ETag"] {
        assert!(reply.field(name).is_some(), "{name}");
        assert_eq!(reply.field(name), whole.field(name));
    }
}

#[tokio::test]
async fn nothing_was_modified_later_than_now() {
    let settings = settings_with_files("future");
    let file = std::fs::File::options()
        .write(true)
        .open(settings.static_path.join("digits.txt"))
        .unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(100_000)).unwrap();
    let server = serve(Application::new([], settings).unwrap()).await;
    let reply = server.visitor().get("/static/digits.txt").await;
    let date = |name: &str| date::parse(reply.field(name).unwrap()).unwrap();
    assert!(date("Last-Modified") <= date("Date"), "{reply:?}");
}
