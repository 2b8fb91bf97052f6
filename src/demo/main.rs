//! The demo: the tutorial's login page and main page, and a session between them, as a stranger
//! to the crate would write it.
//!
//! ```text
//! /login    GET shows the form, POST checks it     /logout   POST ends the session
//! /main     the page that one logs in for          /sessions the places where one is logged in
//! /hello    the smallest handler there is
//! ```

pub(crate) mod credentials;
pub(crate) mod logging;
pub(crate) mod options;
mod sessions_page;

use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
#[cfg(feature = "redis")]
use std::sync::Arc;
use std::time::Duration;

use dustdevil::session::DEVICE;
use dustdevil::{
    Application, Error, Exchange, Lifetime, Method, RequestHandler, Result, SessionHandler,
    Settings, escape, handler,
};
#[cfg(feature = "redis")]
use dustdevil::{RedisSettings, RedisStore};

use credentials::{Credentials, LoginThrottle};
use logging::Log;
use options::{Options, Wish};
use sessions_page::SessionsHandler;

/// Greets, and knows nobody.
struct HelloHandler;

impl RequestHandler for HelloHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("Hello, world!")
    }
}

/// Sends whoever comes to the front door on to the main page.
struct RootHandler;

impl RequestHandler for RootHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];

    async fn initialize(_: &mut Exchange) -> Result<Self> {
        Ok(Self)
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.redirect("/main")
    }
}

/// Shows the login form, and checks it.
struct LoginHandler {
    base: SessionHandler,
}

impl RequestHandler for LoginHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let message = self.base.session.take_flash().await?.unwrap_or_default();
        let next = SessionHandler::next_path(exchange).unwrap_or_default();
        let stylesheet = exchange.static_url("site.css").await?;
        let values =
            [("message", &*message), ("next", &*next), ("stylesheet", &*stylesheet)];
        self.base.render(exchange, "login.html", &values).await
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let username = exchange.get_body_argument("username")?;
        let password = exchange.get_body_argument_raw("password")?;
        let next = SessionHandler::next_path(exchange);
        if credentials::authenticate(exchange, &username, &password)? {
            if exchange.get_body_argument("remember").is_ok() {
                self.base.session.log_in_for(&username, REMEMBERED).await?;
            } else {
                self.base.session.log_in(&username).await?;
            }
            self.base.session.set(DEVICE, sessions_page::device(exchange)).await?;
            exchange.redirect(next.as_deref().unwrap_or("/main"))
        } else {
            self.base.session.flash("Wrong username or password.").await?;
            match next {
                Some(next) => {
                    exchange.redirect(&format!("/login?next={}", escape::url(&next)))
                }
                None => exchange.redirect("/login"),
            }
        }
    }
}

/// The page that one logs in for.
struct MainHandler {
    base: SessionHandler,
}

impl RequestHandler for MainHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Get, Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        let visits = self.base.session.increment("visits", 1).await?.unwrap_or_default();
        let stylesheet = exchange.static_url("site.css").await?;
        let visits = visits.to_string();
        let values =
            [("username", &*username), ("visits", &*visits), ("stylesheet", &*stylesheet)];
        self.base.render(exchange, "main.html", &values).await
    }

    /// The tutorial's `pass`, for whoever is logged in.
    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.base.authenticated(exchange).await?;
        Ok(())
    }
}

/// Ends the session.
struct LogoutHandler {
    base: SessionHandler,
}

impl RequestHandler for LogoutHandler {
    const SUPPORTED_METHODS: &'static [Method] = &[Method::Post];

    async fn initialize(exchange: &mut Exchange) -> Result<Self> {
        Ok(Self { base: SessionHandler::initialize(exchange).await? })
    }

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.base.session.destroy().await?;
        exchange.redirect("/login")
    }
}

/// The application, built but not started, so that anybody can ask it a question.
pub(crate) fn make_app(options: Options) -> Result<Application> {
    let settings = Settings {
        allowed_hosts: options.hosts(),
        session_store: options.session_store,
        cookie_secret: options.cookie_secret,
        static_path: options.static_path,
        template_path: options.template_path,
        template_names: TEMPLATE_NAMES.to_vec(),
        error_template: String::from("error.html"),
        xsrf_cookies: true,
        content_security_policy: POLICY,
        default_headers: SAME_ORIGIN,
        ..Settings::default()
    };
    let application = Application::new(
        [
            ("/", handler::<RootHandler>),
            ("/hello", handler::<HelloHandler>),
            ("/login", handler::<LoginHandler>),
            ("/main", handler::<MainHandler>),
            ("/sessions", handler::<SessionsHandler>),
            ("/logout", handler::<LogoutHandler>),
        ],
        settings,
    )?;
    check_files(application.settings())?;
    let credentials = Credentials::new(&options.username, &options.password);
    Ok(application.state(credentials).state(LoginThrottle::new()))
}

/// Reaches the Redis that was asked for, if one was. If it is away, better to hear of it now.
#[cfg(feature = "redis")]
async fn reach_redis(mut options: Options) -> Result<Options> {
    if !options.store.is_empty() {
        let urls = options.store.clone();
        let store = RedisStore::new(RedisSettings { urls, ..RedisSettings::default() })?;
        // All processes that share their sessions know each other's tokens, too.
        options.cookie_secret = store.shared_secret().await?;
        options.session_store = Some(Arc::new(store));
    }
    Ok(options)
}

/// The pages need these; better to hear of it now than from the first visitor.
fn check_files(settings: &Settings) -> Result {
    let (views, files) = (&settings.template_path, &settings.static_path);
    let pages = ["login", "main", "sessions-begin", "sessions-row", "sessions-end"];
    let pages = pages.map(|page| views.join(format!("{page}.html")));
    let mut needed = pages.into_iter().chain([files.join("site.css")]);
    match needed.find(|path| !path.is_file()) {
        Some(path) => Err(Error::Config(format!("there is no file {}", path.display()))),
        None => Ok(()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match Options::from_arguments(std::env::args_os()) {
        Ok(Wish::Help) => {
            say(options::HELP);
            ExitCode::SUCCESS
        }
        Ok(Wish::Serve(options)) => {
            let log = Log::start();
            let served = serve(*options).await;
            log.finish(served.as_ref().err().map(complaint));
            if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            let _ = std::io::stderr().write_all(complaint(message).as_bytes());
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result {
    let address = SocketAddr::from((options.address, options.port));
    let hint = options.hint();
    #[cfg(feature = "redis")]
    let options = reach_redis(options).await?;
    let application = make_app(options)?;
    let server = application
        .listen(address)
        .await
        .map_err(|error| Error::Config(format!("cannot listen on {address}: {error}")))?;
    let url = format!("http://{}", server.local_addr()?);
    let running = server.run();
    say(&format!(
        "dustdevil listens on {url}\n\
         \x20 open it and log in as {hint}, or try\n\
         \x20 curl -i {url}/hello\n\
         \x20 curl -i {url}/main\n\
         \x20 make curl            the whole story, told with curl\n\
         \x20 Ctrl-C               stops it\n",
    ));
    Ok(running.await?)
}

/// How long somebody lives here who wants to be remembered.
const REMEMBERED: Lifetime = Lifetime {
    idle: Duration::from_secs(14 * 24 * 3600),
    absolute: Duration::from_secs(30 * 24 * 3600),
};

/// Every name that a page asks for.
const TEMPLATE_NAMES: &[&str] = &[
    "current",
    "device",
    "ip",
    "key",
    "last_used",
    "message",
    "next",
    "started",
    "status",
    "stylesheet",
    "username",
    "visits",
];

/// Nobody else opens the pages in a window that they hold on to, or shows what is on them.
const SAME_ORIGIN: &[(&str, &str)] = &[
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

/// No script, no frame, nothing from elsewhere: the pages need a stylesheet and a form.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Prints, if there is anybody to print for: whoever started it may have closed its output, or
/// filled their disk, and is served all the same.
fn say(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn complaint(reason: impl Display) -> String {
    format!("dustdevil: {reason}\n")
}
