//! The demo: an application that uses the crate, with the tutorial's login page and main page.
//!
//! ```text
//! /          GET redirects to /main
//! /hello     GET returns a fixed text: the smallest handler, without a session
//! /login     GET shows the form, POST checks the password and logs in
//! /main      GET shows the main page, only to a logged-in user
//! /sessions  GET lists the user's sessions, POST revokes them
//! /logout    POST destroys the session
//! ```
//! Every form ends in a redirect (Post/Redirect/Get), so reloading the page does not send the
//! form again. A message for the next page is a flash message of the session.

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
    Application, Error, Exchange, Lifetime, RequestHandler, Result, SessionHandler,
    Settings, Value, escape, handler, methods,
};
#[cfg(feature = "redis")]
use dustdevil::{RedisSettings, RedisStore};

use credentials::{Credentials, LoginThrottle};
use logging::Log;
use options::{Command, Options};
use sessions_page::SessionsHandler;

/// Returns a fixed text. A handler without a session implements [`RequestHandler`] directly.
struct HelloHandler;

impl RequestHandler for HelloHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.write("Hello, world!")
    }
}

/// Redirects to the main page.
struct RootHandler;

impl RequestHandler for RootHandler {
    methods!(Get);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        exchange.redirect("/main")
    }
}

/// Shows the login form, checks the password and logs in.
///
/// `methods!` stands for the list of methods and for `initialize`, which creates the base with
/// the base's own `initialize`: Python's `super().initialize()`.
struct LoginHandler {
    base: SessionHandler,
}

impl RequestHandler for LoginHandler {
    methods!(Get, Post; base: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let message = self.base.session.take_flash().await?.unwrap_or_default();
        let next = SessionHandler::next_path(exchange).unwrap_or_default();
        let stylesheet = exchange.static_url("site.css").await?;
        let values: [(_, Value<'_>); 3] =
            [("message", &message), ("next", &next), ("stylesheet", &stylesheet)];
        self.base.render(exchange, "login.html", &values).await
    }

    /// Reads the password from the content only, never from the query: URLs end up in logs and
    /// in the browser's history. `next` is a path of this site, or `None`: a redirect to any
    /// URL that a link can name would help phishing (open redirect).
    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        let username = exchange.get_body_argument("username")?;
        let password = exchange.get_body_argument_raw("password")?;
        let next = SessionHandler::next_path(exchange);
        if !credentials::authenticate(exchange, &username, &password)? {
            self.base.session.flash("Wrong username or password.").await?;
            let query = next.map(|next| format!("?next={}", escape::url(&next)));
            return exchange.redirect(&format!("/login{}", query.unwrap_or_default()));
        }
        // Both functions rotate the session id, against session fixation.
        if exchange.get_body_argument("remember").is_ok() {
            self.base.session.log_in_for(&username, REMEMBER_ME).await?;
        } else {
            self.base.session.log_in(&username).await?;
        }
        self.base.session.set(DEVICE, sessions_page::device(exchange)).await?;
        exchange.redirect(next.as_deref().unwrap_or("/main"))
    }
}

/// Shows the main page to a logged-in user, with a count of visits in the session.
struct MainHandler {
    base: SessionHandler,
}

impl RequestHandler for MainHandler {
    methods!(Get, Post; base: SessionHandler);

    async fn get(&mut self, exchange: &mut Exchange) -> Result {
        let username = self.base.authenticated(exchange).await?;
        // `increment` is atomic: two concurrent requests of a session count as two visits.
        let visits = self.base.session.increment("visits", 1).await?.unwrap_or_default();
        let stylesheet = exchange.static_url("site.css").await?;
        let values: [(_, Value<'_>); 3] =
            [("username", &username), ("visits", &visits), ("stylesheet", &stylesheet)];
        self.base.render(exchange, "main.html", &values).await
    }

    /// Does nothing, as `pass` in the tutorial. Needs a login and an XSRF token, as every POST
    /// here.
    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.base.authenticated(exchange).await?;
        Ok(())
    }
}

/// Destroys the session. Only by POST, with an XSRF token: a GET could be sent by an image on
/// another site.
struct LogoutHandler {
    base: SessionHandler,
}

impl RequestHandler for LogoutHandler {
    methods!(Post; base: SessionHandler);

    async fn post(&mut self, exchange: &mut Exchange) -> Result {
        self.base.session.destroy().await?;
        exchange.redirect("/login")
    }
}

/// Builds the application: settings, routes, and the state that handlers share. Listens on no
/// address, so that tests can send requests without a socket.
pub(crate) fn make_app(options: Options) -> Result<Application> {
    let settings = Settings {
        allowed_hosts: options.hosts(),
        trusted_proxies: options.trusted_proxies,
        trusted_origins: options.trusted_origins,
        session_store: options.session_store,
        cookie_secret: options.cookie_secret,
        static_path: options.static_path,
        template_path: options.template_path,
        template_names: TEMPLATE_NAMES.to_vec(),
        error_template: String::from("error.html"),
        xsrf_cookies: true,
        content_security_policy: POLICY,
        default_headers: SAME_ORIGIN,
        debug: options.debug,
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

/// Connects to Redis if `--store` names one. Fails if Redis is unreachable, so that a wrong
/// address is reported at the start and not by the first request.
#[cfg(feature = "redis")]
async fn connect_redis(mut options: Options) -> Result<Options> {
    if !options.store.is_empty() {
        let urls = options.store.clone();
        let store = RedisStore::new(RedisSettings { urls, ..RedisSettings::default() })?;
        // Processes that share sessions also share the key that signs their XSRF tokens.
        options.cookie_secret = store.shared_secret().await?;
        options.session_store = Some(Arc::new(store));
    }
    Ok(options)
}

/// Checks that the files which the pages need exist. A missing one is reported at the start and
/// not by the first request.
fn check_files(settings: &Settings) -> Result {
    let (views, files) = (&settings.template_path, &settings.static_path);
    let pages = ["login", "main", "sessions", "sessions-row"];
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
        Ok(Command::Help) => {
            print(options::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(options)) => {
            let log = Log::start();
            let served = serve(*options).await;
            log.finish(served.as_ref().err().map(error_line));
            if served.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        // The log has not started, so nothing else writes to standard error.
        Err(message) => {
            let _ = std::io::stderr().write_all(error_line(message).as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Listens, prints the start message, and serves until a signal ends the server.
async fn serve(options: Options) -> Result {
    let address = SocketAddr::from((options.address, options.port));
    let login_hint = options.login_hint();
    #[cfg(feature = "redis")]
    let options = connect_redis(options).await?;
    let application = make_app(options)?;
    let server = application
        .listen(address)
        .await
        .map_err(|error| Error::Config(format!("cannot listen on {address}: {error}")))?;
    let url = format!("http://{}", server.local_addr()?);
    // Installs the signal handlers, so a signal after the start message shuts down gracefully.
    let running = server.run();
    print(&format!(
        "dustdevil listens on {url}\n\
         \x20 In a browser:   log in at {url}/login as {login_hint}\n\
         \x20 In a terminal:  curl -i {url}/hello\n\
         \x20 Ctrl-C stops the server.\n",
    ));
    Ok(running.await?)
}

/// Lifetime of a "remember me" session: idle timeout 14 days, absolute timeout 30 days.
const REMEMBER_ME: Lifetime = Lifetime {
    idle: Duration::from_secs(14 * 24 * 3600),
    absolute: Duration::from_secs(30 * 24 * 3600),
};

/// All placeholders that the templates may contain. A misspelt one is an error at the start.
const TEMPLATE_NAMES: &[&str] = &[
    "current",
    "device",
    "ip",
    "key",
    "last_used",
    "message",
    "next",
    "rows",
    "started",
    "status",
    "stylesheet",
    "username",
    "visits",
];

/// Isolates the pages from other origins: a site that opens one in a window gets no reference
/// to that window (Cross-Origin-Opener-Policy), and cannot embed the pages or their files
/// (Cross-Origin-Resource-Policy).
const SAME_ORIGIN: &[(&str, &str)] = &[
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
];

/// Content-Security-Policy: allows what the pages need, a stylesheet, images and a form of this
/// origin. Without scripts, injected HTML cannot run any (XSS); `frame-ancestors 'none'`
/// prevents clickjacking.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Writes to standard output and ignores errors, unlike `print!`, which panics: a closed pipe
/// or a full disk is no reason not to serve.
fn print(text: &str) {
    let mut output = std::io::stdout();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn error_line(reason: impl Display) -> String {
    format!("dustdevil: {reason}\n")
}
