//! Handlers and the life of a request. Most tests need no socket: they create an exchange, call
//! `initialize` and the method, and look at the response.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use dustdevil::{
    Application, Error, Exchange, HttpError, Method, RequestHandler, Result, Route,
    SessionHandler, Settings, Status, handler,
};

use crate::support::{exchange, serve, settings};

/// Counts requests in its own field, which must start at zero for each request.
struct CountingHandler {
    count: u32,
}

impl RequestHandler for CountingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self { count: 0 })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.count += 1;
        exchange.write(self.count.to_string())
    }
}

#[tokio::test]
async fn each_request_gets_a_handler_of_its_own() {
    let application =
        Application::new([("/count", handler::<CountingHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /count").await.text(), "1");
    assert_eq!(client.ask("GET /count").await.text(), "1");
}

#[tokio::test]
async fn a_handler_is_a_value_that_needs_no_socket() {
    let application = Application::new([], settings()).unwrap();
    let mut exchange = exchange(&application, "GET /count");
    let mut handler = CountingHandler::initialize(&mut exchange).await.unwrap();
    handler.get(&mut exchange).await.unwrap();
    assert_eq!(exchange.write_buffer(), b"1");
    assert_eq!(exchange.response().status, Status::OK);
}

/// The steps of a request in the order in which they ran.
#[derive(Default)]
struct Steps(Mutex<Vec<&'static str>>);

impl Steps {
    fn take(&self, step: &'static str) {
        self.0.lock().unwrap().push(step);
    }

    fn taken(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Records every step, and stops at the one that the query names.
struct SteppingHandler {
    steps: Arc<Steps>,
}

fn stop_at(exchange: &Exchange, step: &str) -> Result {
    match exchange.request().query() == Some(step) {
        true => Err(Error::http(Status::CONFLICT, "Stopped.")),
        false => Ok(()),
    }
}

impl RequestHandler for SteppingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        let steps = Arc::clone(&*exchange.state::<Arc<Steps>>()?);
        steps.take("initialize");
        stop_at(exchange, "initialize")?;
        Ok(Self { steps })
    }

    async fn prepare(&mut self, exchange: &mut Exchange) -> Result {
        self.steps.take("prepare");
        if exchange.request().query() == Some("finish") {
            exchange.write("finished early")?;
            exchange.finish();
        }
        stop_at(exchange, "prepare")
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.steps.take("get");
        exchange.write("content")?;
        stop_at(exchange, "get")
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.steps.take("post");
        exchange.write(exchange.content().clone())
    }

    async fn write_error(exchange: &mut Exchange, error: &HttpError) -> Result {
        let steps = exchange.state::<Arc<Steps>>()?;
        steps.take("write_error");
        exchange.write(format!("drawn: {}", error.message))
    }

    fn on_finish(&mut self, exchange: &Exchange) {
        assert!(exchange.is_finished());
        self.steps.take("on_finish");
    }
}

fn stepping() -> (Application, Arc<Steps>) {
    let steps = Arc::new(Steps::default());
    let settings = Settings { xsrf_cookies: true, ..settings() };
    let application =
        Application::new([("/", handler::<SteppingHandler>)], settings).unwrap();
    (application.state(Arc::clone(&steps)), steps)
}

#[tokio::test]
async fn the_steps_of_a_request_have_tornados_order() {
    let (application, steps) = stepping();
    let server = serve(application).await;
    let mut client = server.connect().await;

    assert_eq!(client.ask("GET /").await.text(), "content");
    assert_eq!(steps.taken(), ["initialize", "prepare", "get", "on_finish"]);

    assert_eq!(client.ask("GET /?initialize").await.status, 409);
    assert_eq!(steps.taken(), ["initialize", "write_error"]);

    assert_eq!(client.ask("GET /?prepare").await.text(), "drawn: Stopped.");
    assert_eq!(steps.taken(), ["initialize", "prepare", "write_error", "on_finish"]);

    let reply = client.ask("GET /?get").await;
    assert_eq!((reply.status, reply.text().as_str()), (409, "drawn: Stopped."));
    assert_eq!(steps.taken(), ["initialize", "prepare", "get", "write_error", "on_finish"]);

    assert_eq!(client.ask("GET /?finish").await.text(), "finished early");
    assert_eq!(steps.taken(), ["initialize", "prepare", "on_finish"]);
}

/// Tornado's order: `initialize` also runs for requests that are refused afterwards.
#[tokio::test]
async fn the_hook_runs_before_the_method_the_content_and_the_xsrf_checks() {
    let (application, steps) = stepping();
    let server = serve(application).await;

    let mut visitor = server.visitor();
    assert_eq!(visitor.request("DELETE /", "").await.status, 405);
    assert_eq!(steps.taken(), ["initialize", "write_error", "on_finish"]);

    let reply = visitor.request("POST /\nContent-Length: 999999999", "").await;
    assert_eq!(reply.status, 413);
    assert_eq!(steps.taken(), ["initialize", "write_error", "on_finish"]);

    assert_eq!(visitor.post("/", &[("name", "value")]).await.status, 403);
    assert_eq!(steps.taken(), ["initialize", "write_error", "on_finish"]);
}

/// Fails in `initialize` with an internal error.
struct BrokenHandler;

impl RequestHandler for BrokenHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Put];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        if exchange.request().method() == Method::Put {
            return Ok(Self);
        }
        Err(Error::other("the database <is> on fire"))
    }
}

#[tokio::test]
async fn an_error_in_initialize_is_a_500_whose_message_is_not_sent() {
    let application =
        Application::new([("/broken", handler::<BrokenHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let mut client = server.connect().await;
    let reply = client.ask("GET /broken").await;
    assert_eq!((reply.status, reply.reason.as_str()), (500, "Internal Server Error"));
    assert!(!reply.text().contains("fire"), "{}", reply.text());
    let reply = client.ask("PUT /broken").await;
    assert_eq!(reply.status, 500, "a method that is named and not written");
    assert_eq!(client.ask("GET /broken").await.status, 500, "the connection goes on");
}

/// The argument that a route passes to `initialize`.
struct Greeting(&'static str);

struct GreetingHandler {
    greeting: Arc<Greeting>,
}

impl RequestHandler for GreetingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { greeting: exchange.route_arguments::<Greeting>()? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write(self.greeting.0)
    }
}

#[tokio::test]
async fn a_route_hands_its_arguments_to_initialize() {
    let greet =
        |path, text| Route::new(path, handler::<GreetingHandler>).with(Greeting(text));
    let routes = [greet("/morning", "Good morning!"), greet("/night", "Good night!")];
    let server = serve(Application::with_routes(routes, settings()).unwrap()).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /morning").await.text(), "Good morning!");
    assert_eq!(client.ask("GET /night").await.text(), "Good night!");
}

/// A handler that extends a handler that extends another.
struct VipHandler {
    base: MemberHandler,
}

/// Admits only requests with the right argument.
struct MemberHandler {
    base: SessionHandler,
}

impl MemberHandler {
    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        if exchange.request().query() != Some("please") {
            exchange.redirect("/elsewhere")?;
            return Err(Error::Finish);
        }
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }
}

impl RequestHandler for VipHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: MemberHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        self.base.base.session.set("seen", exchange.get_argument("page")?).await?;
        Ok(())
    }
}

/// A guard: `initialize` of the base redirects and returns [`Error::Finish`], so the method of
/// the derived handler never runs.
#[tokio::test]
async fn a_base_may_end_the_request() {
    let application =
        Application::new([("/vip", handler::<VipHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let reply = server.visitor().get("/vip").await;
    assert_eq!((reply.status, reply.field("Location")), (302, Some("/elsewhere")));
    assert_eq!(server.visitor().get("/vip?please").await.status, 400);
}

/// Counts requests in the shared state of the application.
struct SharingHandler;

impl RequestHandler for SharingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let count = exchange.state::<AtomicU32>()?.fetch_add(1, Ordering::Relaxed);
        exchange.write(count.to_string())
    }
}

#[tokio::test]
async fn shared_state_is_looked_up_by_type() {
    let application =
        Application::new([("/", handler::<SharingHandler>)], settings()).unwrap();
    let server = serve(application.state(AtomicU32::new(7))).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /").await.text(), "7");
    assert_eq!(client.ask("GET /").await.text(), "8");
}

/// Sets headers and cookies, and then fails on request.
struct SettingHandler;

impl RequestHandler for SettingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.set_status(Status::ACCEPTED);
        exchange.set_header("X-Once", "one")?;
        exchange.set_header("x-once", "two")?;
        exchange.add_header("X-Twice", "one")?;
        exchange.add_header("X-Twice", "two")?;
        exchange.set_header("X-Never", "there")?;
        exchange.clear_header("x-never");
        exchange.set_cookie(dustdevil::SetCookie::new("color", "sand"))?;
        exchange.clear_cookie("stale")?;
        exchange.session().set("kept", "yes").await?;
        exchange.write("half of it")?;
        match exchange.request().query() {
            Some("error") => exchange.send_error(Status::GONE),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn the_exchange_methods_build_the_response() {
    let application =
        Application::new([("/", handler::<SettingHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let reply = server.connect().await.ask("GET /\nCookie: stale=1").await;
    assert_eq!(reply.status, 202);
    assert_eq!(reply.fields_named("X-Once").collect::<Vec<_>>(), ["two"]);
    assert_eq!(reply.fields_named("X-Twice").collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(reply.field("X-Never"), None);
    let color = reply.cookie_line("color");
    assert_eq!(color, Some("color=sand; Path=/; HttpOnly; SameSite=Lax"));
    assert!(reply.cookie_line("stale").unwrap().contains("Max-Age=0"));
    assert_eq!(reply.field("Content-Type"), Some("text/html; charset=UTF-8"));
}

#[tokio::test]
async fn an_error_page_keeps_the_sessions_cookie_and_drops_what_was_set_before() {
    let application =
        Application::new([("/", handler::<SettingHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let reply = server.visitor().get("/?error").await;
    assert_eq!(reply.status, 410);
    assert!(!reply.text().contains("half of it"));
    assert_eq!(reply.field("X-Once"), None);
    assert_eq!(reply.cookie("color"), None);
    assert!(reply.cookie("session_id").is_some());
    assert_eq!(reply.field("Cache-Control"), Some("no-store"));
    assert_eq!(reply.field("X-Content-Type-Options"), Some("nosniff"), "a default header");
}

/// Response splitting: CR and LF in a value would end the head and start a response that the
/// attacker controls.
#[tokio::test]
async fn a_header_a_cookie_or_a_redirect_cannot_split_the_response() {
    let application = Application::new([], settings()).unwrap();
    let mut exchange = exchange(&application, "GET /");
    for value in ["a\r\nSet-Cookie: b=c", "a\nb", "a\rb", "a\0b"] {
        assert!(exchange.set_header("X-Value", value).is_err(), "{value:?}");
        assert!(exchange.add_header("X-Value", value).is_err(), "{value:?}");
        let cookie = dustdevil::SetCookie::new("name", value);
        assert!(exchange.set_cookie(cookie).is_err(), "{value:?}");
        assert!(exchange.redirect(&format!("/{value}")).is_err(), "{value:?}");
    }
    for name in
        ["", "a b", "a:b", "a\r\nb", "Content-Length", "transfer-encoding", "Connection"]
    {
        assert!(exchange.set_header(name, "1").is_err(), "{name:?}");
    }
    for url in
        ["", "//evil.example", "/\\evil.example", "\\\\evil.example", "/a b", "/\u{e9}"]
    {
        assert!(exchange.redirect(url).is_err(), "{url:?}");
    }
    assert!(exchange.response().fields().all(|(name, _)| name != "X-Value"));
    exchange.redirect("https://example.com/on?purpose=1").unwrap();
}

#[tokio::test]
async fn redirects_have_tornados_statuses_and_others_on_request() {
    let application = Application::new([], settings()).unwrap();
    let redirect = |go: fn(&mut Exchange) -> Result| {
        let mut exchange = exchange(&application, "GET /");
        go(&mut exchange).unwrap();
        assert!(exchange.is_finished());
        assert_eq!(exchange.response().field("Location"), Some("/main"));
        exchange.response().status
    };
    assert_eq!(redirect(|exchange| exchange.redirect("/main")), Status::FOUND);
    let permanently = redirect(|exchange| exchange.redirect_permanently("/main"));
    assert_eq!(permanently, Status::MOVED_PERMANENTLY);
    let see_other = redirect(|exchange| exchange.redirect_as(Status::SEE_OTHER, "/main"));
    assert_eq!(see_other, Status::SEE_OTHER);
}

#[tokio::test]
async fn writing_after_the_end_is_an_error() {
    let application = Application::new([], settings()).unwrap();
    let mut exchange = exchange(&application, "GET /");
    exchange.write("all of it").unwrap();
    exchange.finish();
    assert!(exchange.write("more").is_err());
    assert_eq!(exchange.write_buffer(), b"all of it");
}

/// A custom page for 404.
struct LostHandler;

impl RequestHandler for LostHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.set_status(Status::NOT_FOUND);
        exchange.write("lost in the dust")
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_has_no_session() {
    let server = serve(Application::new([], settings()).unwrap()).await;
    let reply = server.visitor().get("/nowhere").await;
    assert_eq!((reply.status, reply.field("Set-Cookie")), (404, None));
    assert!(reply.text().contains("There is no such page."));

    let application = Application::new([], settings()).unwrap();
    let server = serve(application.default_handler(handler::<LostHandler>)).await;
    let reply = server.visitor().get("/nowhere").await;
    assert_eq!((reply.status, reply.text().as_str()), (404, "lost in the dust"));
}

#[tokio::test]
async fn methods_that_are_not_supported_are_405_with_allow() {
    let application =
        Application::new([("/count", handler::<CountingHandler>)], settings()).unwrap();
    let server = serve(application).await;
    let reply = server.visitor().request("DELETE /count", "").await;
    assert_eq!((reply.status, reply.field("Allow")), (405, Some("GET, HEAD, OPTIONS")));
    let mut client = server.connect().await;
    let reply = client.ask("OPTIONS /count").await;
    assert_eq!((reply.status, reply.field("Allow")), (204, Some("GET, HEAD, OPTIONS")));
    let reply = client.ask("HEAD /count").await;
    assert_eq!((reply.status, reply.field("Content-Length")), (200, Some("1")));
    let reply = server.visitor().request("BREW /count", "").await;
    assert_eq!(reply.status, 501);
}

/// Returns the client address and scheme that it sees.
struct ClientAddressHandler;

impl RequestHandler for ClientAddressHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write(format!("{} {}", exchange.remote_ip(), exchange.is_https()))
    }
}

/// A client can send `X-Forwarded-For` itself, and choose the address that rate limits and logs
/// see.
#[tokio::test]
async fn forwarded_fields_count_only_from_a_trusted_proxy() {
    let ours = vec![[127, 0, 0, 1].into(), [10, 0, 0, 1].into()];
    for (trusted_proxies, fields, expected) in [
        (vec![], "X-Forwarded-For: 6.6.6.6\nX-Forwarded-Proto: https", "127.0.0.1 false"),
        (ours.clone(), "", "127.0.0.1 false"),
        (ours.clone(), "X-Forwarded-For: 6.6.6.6", "6.6.6.6 false"),
        (ours.clone(), "X-Forwarded-For: 6.6.6.6, 7.7.7.7, 10.0.0.1", "7.7.7.7 false"),
        (
            ours.clone(),
            "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 7.7.7.7",
            "7.7.7.7 false",
        ),
        (ours.clone(), "X-Forwarded-For: ::ffff:7.7.7.7", "7.7.7.7 false"),
        (ours.clone(), "X-Forwarded-For: 6.6.6.6, nonsense", "127.0.0.1 false"),
        (
            ours.clone(),
            "X-Forwarded-Proto: http\nX-Forwarded-Proto: HTTPS",
            "127.0.0.1 true",
        ),
        // A machine in a trusted network is the client if no other one is named.
        (ours.clone(), "X-Forwarded-For: 10.0.0.1", "10.0.0.1 false"),
        (ours.clone(), "X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1", "10.0.0.1 false"),
    ] {
        let settings = Settings { trusted_proxies, ..settings() };
        let routes = [("/", handler::<ClientAddressHandler> as dustdevil::Handler)];
        let server = serve(Application::new(routes, settings).unwrap()).await;
        let reply = server.connect().await.ask(&format!("GET /\n{fields}")).await;
        assert_eq!(reply.text(), expected, "{fields}");
    }
}

/// Reads an argument in `initialize`.
struct AskingHandler {
    name: String,
}

impl RequestHandler for AskingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { name: exchange.get_query_argument("name")? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write(&self.name)
    }
}

#[tokio::test]
async fn query_arguments_are_available_in_initialize() {
    let routes = [("/", handler::<AskingHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask("GET /?name=dust").await.text(), "dust");
    assert_eq!(client.ask("GET /").await.status, 400);
    let reply = client.ask("GET /?name=dust&%ff=1").await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("An argument is not UTF-8."), "{}", reply.text());
}

#[tokio::test]
async fn unusable_settings_are_errors_at_startup() {
    for settings in [
        Settings { default_headers: &[("X-A", "a\r\nX-B: b")], ..settings() },
        Settings { default_headers: &[("Connection", "close")], ..settings() },
        Settings { session_cookie: String::from("a b"), ..settings() },
        Settings { cookie_secret: b"short".to_vec(), ..settings() },
        Settings { static_url_prefix: String::from("/"), ..settings() },
    ] {
        assert!(matches!(Application::new([], settings), Err(Error::Config(_))));
    }
}

/// Fails because the process is out of file descriptors.
struct ShortHandler;

impl RequestHandler for ShortHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, _: &mut Exchange) -> Result {
        // EMFILE, as `open` returns it.
        Err(std::io::Error::from_raw_os_error(24))?
    }
}

/// EMFILE is temporary: other connections will close, so the client should try again.
#[cfg(unix)]
#[tokio::test]
async fn running_out_of_file_descriptors_is_a_503_with_retry_after() {
    let routes = [("/", handler::<ShortHandler> as dustdevil::Handler)];
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    let reply = server.connect().await.ask("GET /").await;
    assert_eq!((reply.status, reply.field("Retry-After")), (503, Some("1")));
}

/// Panics in the step that its path names.
struct PanickingHandler;

impl RequestHandler for PanickingHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        assert_ne!(exchange.request().path(), "/initialize", "meant to");
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        assert_ne!(exchange.request().path(), "/get", "meant to");
        if exchange.request().path() == "/write_error" {
            return exchange.send_error(Status::CONFLICT);
        }
        exchange.write("well")
    }

    async fn write_error(exchange: &mut Exchange, error: &HttpError) -> Result {
        assert_ne!(exchange.request().path(), "/write_error", "meant to");
        exchange.write(error.status.to_string())
    }

    fn on_finish(&mut self, exchange: &Exchange) {
        assert_ne!(exchange.request().path(), "/on_finish", "meant to");
    }
}

#[tokio::test]
async fn a_panic_in_any_step_is_answered() {
    let paths = ["/initialize", "/get", "/write_error", "/on_finish"];
    let routes =
        paths.map(|path| (path, handler::<PanickingHandler> as dustdevil::Handler));
    let server = serve(Application::new(routes, settings()).unwrap()).await;
    for (path, status) in paths.into_iter().zip([500, 500, 500, 200]) {
        let mut client = server.connect().await;
        assert_eq!(client.ask(&format!("GET {path}")).await.status, status, "{path}");
    }
}
