//! Short methods that a port from Tornado looks for: arguments with a default or a type, the
//! settings, a reason phrase, fields that stay on error pages, shared state, streams.

use std::sync::Arc;

use bytes::Bytes;
use dustdevil::http::response::Response;
use dustdevil::{
    Application, Error, Exchange, HttpError, RequestHandler, Result, Route, SessionHandler,
    Settings, Status, StreamSender, handler, methods,
};

use crate::log::lines_with;
use crate::support::{exchange, serve, settings};

fn application() -> Application {
    Application::new([], settings()).unwrap()
}

/// Returns the exchange of a form.
fn form(query: &str, content: &'static str) -> Exchange {
    let head = format!(
        "POST /?{query}\nContent-Type: application/x-www-form-urlencoded\nContent-Length: {}",
        content.len()
    );
    let mut exchange = exchange(&application(), &head);
    exchange.set_content(Bytes::from_static(content.as_bytes())).unwrap();
    exchange
}

/// Returns the status and the message that the client would get.
fn refused<T>(result: Result<T>) -> (u16, String) {
    match result.err().expect("a refusal") {
        Error::Http(error) => (error.status.code(), error.message.into_owned()),
        error => panic!("{error}"),
    }
}

#[test]
fn a_default_is_for_a_missing_argument_only() {
    let exchange = form("q=+1&bad=%ff", "f=+2&q=3");
    assert_eq!(exchange.get_argument_or("q", "x").unwrap(), "3");
    assert_eq!(exchange.get_argument_or("none", "x").unwrap(), "x");
    assert_eq!(exchange.get_query_argument_or("q", "x").unwrap(), "1");
    assert_eq!(exchange.get_query_argument_or("f", "x").unwrap(), "x");
    assert_eq!(exchange.get_body_argument_or("f", "x").unwrap(), "2");
    assert_eq!(exchange.get_body_argument_or("bad", "x").unwrap(), "x");
    assert_eq!(exchange.find_argument("none").unwrap(), None);
    assert_eq!(exchange.find_argument("f").unwrap().as_deref(), Some("2"));
    assert_eq!(refused(exchange.get_argument_or("bad", "x")).0, 400);
    assert_eq!(refused(exchange.get_query_argument_or("bad", "x")).0, 400);
    assert_eq!(refused(exchange.find_argument("bad")).0, 400);
    let exchange = form("", "bad=%ff");
    assert_eq!(refused(exchange.get_body_argument_or("bad", "x")).0, 400);
}

#[test]
fn an_argument_of_a_type_is_400_if_it_is_malformed_and_the_log_says_which_type() {
    let exchange = form("year=+2026&month=13x", "");
    assert_eq!(exchange.parse_argument::<u32>("year").unwrap(), 2026);
    let result = exchange.parse_argument::<u8>("month");
    let Err(Error::Http(error)) = &result else { panic!("{result:?}") };
    assert_eq!(error.detail, "not of the type u8");
    let message = String::from("The argument month is invalid.");
    assert_eq!(refused(result), (400, message));
    let missing = exchange.parse_argument::<u8>("day");
    assert!(matches!(missing, Err(Error::MissingArgument(name, _)) if name == "day"));
}

/// Reads a number from its path, and an argument from its query.
struct StoryHandler;

impl RequestHandler for StoryHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let story: u32 = exchange.parse_path_argument("id")?;
        let title = match exchange.get_argument("title") {
            Err(Error::MissingArgument(name, _)) if story == 2 => format!("no {name}"),
            title => title?,
        };
        exchange.write(format!("{story} {title}"))
    }
}

#[tokio::test]
async fn a_path_argument_of_a_type_is_404_if_it_is_malformed() {
    let routes = [("/story/{id}", handler::<StoryHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.get("/story/1?title=x").await.text(), "1 x");
    for path in ["/story/one?title=x", "/story/-1?title=x", "/story/4294967296?title=x"] {
        let reply = visitor.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.text().contains("There is no such page."), "{path}");
    }
    let exchange = exchange(&application(), "GET /");
    let fault = exchange.parse_path_argument::<u32>("id");
    assert!(matches!(fault, Err(Error::Other(..))), "a fault of the application is a 500");
}

#[tokio::test]
async fn a_missing_argument_is_an_error_of_its_own_and_a_400_with_its_name() {
    let routes = [("/story/{id}", handler::<StoryHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.get("/story/2").await.text(), "2 no title");
    let lines = lines_with("GET /story/1: ", async {
        let reply = visitor.get("/story/1").await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("The argument title is missing."));
    })
    .await;
    for line in lines {
        assert!(
            line.ends_with("400 Bad Request: The argument title is missing."),
            "{line}"
        );
        assert!(!line.contains("dustdevil::application"), "{line}");
    }
}

#[test]
fn a_handler_sees_the_settings() {
    let settings = Settings { login_url: String::from("/enter"), ..settings() };
    let application = Application::new([], settings).unwrap();
    assert_eq!(exchange(&application, "GET /").settings().login_url, "/enter");
}

/// Sets the reason that the query names.
struct ReasonHandler;

impl RequestHandler for ReasonHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.set_status(Status::UNPROCESSABLE_CONTENT);
        exchange.set_reason(exchange.get_query_argument_raw("reason")?)?;
        match exchange.request().path() {
            "/reset" => exchange.set_status(Status::CREATED),
            "/error" => return Err(Error::http(Status::CONFLICT, "")),
            "/unknown" => exchange.set_status(Status::new(299).unwrap()),
            _ => {}
        }
        exchange.write("content")
    }
}

#[tokio::test]
async fn a_reason_phrase_replaces_that_of_the_status() {
    let routes = ["/", "/reset", "/error", "/unknown"]
        .map(|path| (path, handler::<ReasonHandler> as dustdevil::Handler));
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut client = server.connect().await;
    for (target, status, reason) in [
        ("/?reason=Title%20too%20long", 422, "Title too long"),
        ("/?reason=%C3%A9", 422, "\u{e9}"),
        ("/?reason=", 422, ""),
        ("/reset?reason=x", 201, "Created"),
        ("/error?reason=x", 409, "Conflict"),
        ("/unknown?reason=x", 299, ""),
    ] {
        let reply = client.ask(&format!("GET {target}")).await;
        assert_eq!((reply.status, reply.reason.as_str()), (status, reason), "{target}");
    }
}

/// Response splitting (CWE-113): the rest of the reason would be fields of the client's choice.
#[tokio::test]
async fn a_reason_phrase_cannot_split_the_response() {
    let routes = [("/", handler::<ReasonHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut client = server.connect().await;
    for attack in
        ["x%0D%0ASet-Cookie:%20a=b", "x%0ASet-Cookie:%20a=b", "x%0D", "x%00", "%7F"]
    {
        let reply = client.ask(&format!("GET /?reason={attack}")).await;
        assert_eq!((reply.status, reply.field("Set-Cookie")), (500, None), "{attack}");
    }
    let mut response = Response::new(Status::OK);
    assert!(response.set_reason("a\tb c").is_ok());
    assert_eq!(response.reason(), "a\tb c");
}

/// Sets fields before anything else, and fails where the query says.
struct ApiHandler;

impl RequestHandler for ApiHandler {
    const SUPPORTED_METHODS: &'static [dustdevil::Method] = &[dustdevil::Method::Get];

    fn set_default_headers(exchange: &mut Exchange) -> Result {
        exchange.set_header("Access-Control-Allow-Origin", "*")?;
        exchange.set_header("Retry-After", "9")?;
        match exchange.request().query() {
            Some("broken") => Err(Error::other("broken")),
            Some("panic") => panic!("on purpose"),
            _ => Ok(()),
        }
    }

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let found = exchange.response().field("Access-Control-Allow-Origin");
        assert_eq!(found, Some("*"), "the hook runs first");
        exchange.set_header("X-Mine", "x")?;
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.clear_header("Retry-After");
        match exchange.request().query() {
            Some("error") => Err(Error::http(Status::CONFLICT, "Stopped.")),
            Some("busy") => Err(HttpError::new(Status::SERVICE_UNAVAILABLE, "")
                .with_header("Retry-After", "5")
                .into()),
            _ => exchange.write("content"),
        }
    }
}

#[tokio::test]
async fn default_headers_of_a_handler_stay_on_its_error_pages() {
    let routes = [("/", handler::<ApiHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut visitor = server.visitor();
    for (line, status, mine, retry_after) in [
        ("GET /", 200, Some("x"), None),
        ("GET /?error", 409, None, Some("9")),
        ("POST /", 405, None, Some("9")),
        ("GET /?busy", 503, None, Some("5")),
    ] {
        let reply = visitor.request(line, "").await;
        assert_eq!(reply.status, status, "{line}");
        assert_eq!(reply.field("Access-Control-Allow-Origin"), Some("*"), "{line}");
        assert_eq!(reply.field("X-Mine"), mine, "{line}");
        assert_eq!(reply.field("Retry-After"), retry_after, "{line}");
    }
    for line in ["GET /?broken", "GET /?panic"] {
        let reply = visitor.request(line, "").await;
        assert_eq!(reply.status, 500, "{line}");
        assert!(reply.text().contains("500 Internal Server Error"), "{line}");
    }
}

struct Pool(u32);

/// Writes the state and the arguments of the route.
struct PoolHandler;

impl RequestHandler for PoolHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let (state, argument) =
            (exchange.state::<Pool>()?.0, exchange.route_arguments::<Pool>()?.0);
        exchange.write(format!("{state} {argument}"))
    }
}

#[tokio::test]
async fn state_and_arguments_of_routes_may_be_given_as_arc() {
    let pool = Arc::new(Pool(3));
    let routes = [
        Route::new("/plain", handler::<PoolHandler>).with(Pool(1)),
        Route::new("/arc", handler::<PoolHandler>).with(Arc::new(Pool(2))),
        Route::new("/other", handler::<PoolHandler>).with(5),
    ];
    let application = Application::with_routes(routes, settings()).unwrap();
    let server = serve(application.state(Arc::clone(&pool))).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.get("/plain").await.text(), "3 1");
    assert_eq!(visitor.get("/arc").await.text(), "3 2");
    assert_eq!(visitor.get("/other").await.status, 500);

    let application = application_with(Arc::clone(&pool));
    let found = exchange(&application, "GET /").state::<Pool>().unwrap();
    assert!(Arc::ptr_eq(&found, &pool), "the same value, and not a copy");
    let application = application_with(Arc::clone(&pool)).state(Pool(4));
    assert_eq!(exchange(&application, "GET /").state::<Pool>().unwrap().0, 4);
    assert!(exchange(&application, "GET /").state::<u8>().is_err());
}

fn application_with(pool: Arc<Pool>) -> Application {
    application().state(pool)
}

/// A function instead of a closure.
async fn count(sender: StreamSender) -> Result {
    for number in 1..=3 {
        sender.send(format!("{number}\n")).await?;
    }
    Ok(())
}

/// Streams without naming an error type.
struct CountHandler;

impl RequestHandler for CountHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        match exchange.request().path() {
            "/function" => exchange.stream(count),
            "/block" => exchange.stream(|sender| async move {
                sender.send("block").await?;
                Ok(())
            }),
            _ => exchange.stream(async |sender| {
                sender.send("closure").await?;
                Ok(())
            }),
        }
    }
}

#[tokio::test]
async fn the_error_type_of_a_stream_is_inferred() {
    let routes = ["/function", "/block", "/closure"]
        .map(|path| (path, handler::<CountHandler> as dustdevil::Handler));
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut visitor = server.visitor();
    assert_eq!(visitor.get("/function").await.text(), "1\n2\n3\n");
    assert_eq!(visitor.get("/block").await.text(), "block");
    assert_eq!(visitor.get("/closure").await.text(), "closure");
}

struct PrivateHandler {
    base: SessionHandler,
}

impl RequestHandler for PrivateHandler {
    methods!(Get; base: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        exchange.write(username)
    }
}

/// Returns where a client is sent that is not logged in.
async fn login_of(login_url: &str, head: &str) -> String {
    let settings = Settings { login_url: login_url.to_owned(), ..settings() };
    let routes = [("/private", handler::<PrivateHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings).unwrap()).await;
    let mut client = server.connect().await;
    client.send(head).await;
    client.receive().await.field("Location").expect("a redirect").to_owned()
}

#[tokio::test]
async fn a_login_url_on_another_site_gets_the_full_url_in_next() {
    let head = "GET /private?a=b HTTP/1.1\r\nHost: app.example:8080\r\n\r\n";
    for (login_url, location) in [
        ("/login", "/login?next=%2Fprivate%3Fa%3Db"),
        ("/login?back=https://x/", "/login?back=https://x/&next=%2Fprivate%3Fa%3Db"),
        (
            "https://login.example/enter",
            "https://login.example/enter?next=http%3A%2F%2Fapp.example%3A8080%2Fprivate%3Fa%3Db",
        ),
        (
            "https://login.example/?for=app",
            "https://login.example/?for=app&next=http%3A%2F%2Fapp.example%3A8080%2Fprivate%3Fa%3Db",
        ),
    ] {
        assert_eq!(login_of(login_url, head).await, location);
    }
    let old = "GET /private HTTP/1.0\r\n\r\n";
    assert_eq!(
        login_of("https://login.example/", old).await,
        "https://login.example/?next=http%3A%2F%2Flocalhost%2Fprivate"
    );
}

#[test]
fn the_full_url_has_the_scheme_that_a_trusted_proxy_reports() {
    let settings =
        Settings { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..settings() };
    let application = Application::new([], settings).unwrap();
    let head = "GET /a%20b?c=%2F\nX-Forwarded-Proto: https";
    assert_eq!(exchange(&application, head).full_url(), "https://localhost/a%20b?c=%2F");
}

#[test]
fn a_login_url_that_no_redirect_accepts_is_an_error_at_start() {
    for login_url in ["", "//login.example/", "/log in", "/\\login"] {
        let settings = Settings { login_url: login_url.to_owned(), ..settings() };
        let error = Application::new([], settings).err().expect(login_url).to_string();
        assert!(error.contains("login_url"), "{error}");
    }
}
