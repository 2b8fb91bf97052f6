//! Dustdevil is an HTTP/1.1 server, written by hand on tokio sockets, with the handler layer of
//! Tornado (`RequestHandler` and its `initialize` hook) and server-side sessions. It is written
//! to be read, for engineers and learners that want to see how a web server works.
//!
//! Not here, on purpose: TLS for clients, HTTP/2, WebSocket and compression. A reverse proxy in
//! front of the server adds them; see [`guide::deploy`].
//!
//! ```no_run
//! use dustdevil::{Application, Exchange, RequestHandler, Result, Settings, handler, methods};
//!
//! struct HelloHandler;
//!
//! impl RequestHandler for HelloHandler {
//!     methods!(Get);
//!
//!     async fn get(&mut self, exchange: &mut Exchange) -> Result {
//!         exchange.write("Hello, world!")
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result {
//!     let application =
//!         Application::new([("/hello", handler::<HelloHandler>)], Settings::default())?;
//!     application.listen("127.0.0.1:8888").await?.run().await?;
//!     Ok(())
//! }
//! ```
//!
//! [`methods!`] writes the methods of a handler and its `initialize`.
//!
//! # Layout
//!
//! Three layers and an entry point. `http` and `session` are independent of each other; `web`
//! uses both. What an RFC defines is in `http`, Tornado's API is in `web`, session state is in
//! `session`.
//!
//! - [`http`]: HTTP/1.1 as RFC 9110 and RFC 9112 define it: bytes from a socket become
//!   requests, responses become bytes. Names nothing of `web` or `session`.
//! - [`session`]: server-side values of a client, the contract of a session store, and two
//!   stores: memory and Redis. Names nothing of HTTP.
//! - [`web`]: Tornado's API: applications, routes, handlers, templates, static files.
//! - [`server`]: the entry point. Listens, accepts, spawns a task per connection, limits the
//!   number of connections, and shuts down gracefully. Its socket is in `listener`, its signals
//!   are in `signals`.
//!
//! Next to the layers are helpers that use none of them: [`escape`], [`crypto`], and the
//! private `identity_hasher`, `future` (catch a panic in a future, poll a future once) and
//! `cached_clock`. [`error`] turns the errors of all layers into responses.
//!
//! The modules are declared in reading order. The blank lines between the `mod` declarations
//! keep rustfmt from sorting them by name.
//!
//! The demo, `src/demo/main.rs`, is an application that uses only the public API. Pages on
//! topics that belong to no module (terms, tutorial, index of files) are in
//! [`guide`], which begins with the two paths: [one request](guide::request) and
//! [one session](guide::session). How to run an application behind a proxy is in
//! [`guide::deploy`].
//!
//! # How a request passes through
//!
//! 1. [`server`] accepts a socket and spawns a task for it, which runs [`http::connection`].
//! 2. The connection reads bytes until [`http::head`] can parse a request head, from which
//!    [`http::request`] makes a request. [`http::framing`] decides where its content ends.
//! 3. [`web::application`] checks the host and matches the path to a route.
//! 4. [`web::handler`] runs the route's handler for this one request: `initialize`, the XSRF
//!    check, `prepare`, then the method, such as `get`.
//! 5. The method reads arguments and the session through the [`web::exchange`], and writes to
//!    it.
//! 6. [`http::response`] writes the head of the response, and the connection sends it. The
//!    connection then waits for the next request (keep-alive), or closes.
//!
//! # The log
//!
//! The crate logs through the `log` facade. It prints nothing, with one exception: while the
//! log is off, as it is without a logger, the first failure of a handler is one line on
//! standard error, because the reason of a 500 would be lost otherwise. The demo prints the log
//! to standard error with `env_logger`; `RUST_LOG=warn` makes it quieter. If nothing reads
//! standard error, the demo drops lines instead of blocking, and `[W] 12 log lines dropped`
//! says so later.
//!
//! The targets:
//!
//! - `dustdevil::access`: a line per request, in Tornado's format:
//!   `200 GET /main (127.0.0.1) 0.12ms`. The level is info, and error for 5xx. The query is
//!   left out, because it can hold secrets. If a request was refused (4xx), its line has the
//!   message, the detail ([`HttpError::detail`]) and the source line that refused it:
//!   `403 POST /login (::1) 0.20ms: The _xsrf token is missing. (src/web/exchange_xsrf.rs:57)`.
//!   A request without a valid head has no method and no path:
//!   `400 (127.0.0.1): Invalid Content-Length. (src/http/framing.rs:67)`.
//! - `dustdevil::general`: aborted responses, URLs of static files that do not exist.
//! - `dustdevil::application`: errors of the application, with the message and the source line
//!   behind a 5xx.
//! - `dustdevil::server`: out of file descriptors, failed sweeps, drain timeout reached,
//!   `debug` on an address other than loopback or behind a proxy.
//! - `dustdevil::security`: security events.
//! - `dustdevil::steps`: the decisions on the way of a request, at level trace, as `name: detail`.
//!
//! A line of `dustdevil::security` is an event name of OWASP's logging vocabulary, then
//! `key=value` pairs. A session is named by the [fingerprint](session::id::Key::fingerprint) of
//! its key; secret ids and passwords are never logged. All events:
//!
//! - `session_created session= ip=`: the first write of a client has created a session.
//! - `session_rotated from= to= ip=`: a session has a new id.
//! - `session_expired reason=logout session= ip=`: its own client has destroyed it.
//! - `session_expired reason=revoked session= ip=`: its user has revoked it from another
//!   session, at this `ip`.
//! - `session_expired reason=limit_per_user session= ip=`: a login exceeded the limit of
//!   sessions per user, and this was the user's oldest session.
//! - `session_expired reason=revoked_all session=`: it was ended by
//!   [`revoke_all`](session::login::revoke_all).
//! - `session_unknown session= count= ip=`: a request presented `count` ids that no live
//!   session has, for example of an expired session. `session` is the fingerprint of the first.
//! - `session_ambiguous first= second= ip=` (warn): a request presented several live ids
//!   (cookie tossing), and none is used.
//! - `authn_login_success user= session= ip=`: a user has logged in.
//! - `authn_login_fail user= ip=` (warn): the user name or the password was wrong.
//! - `excess_rate_limit_exceeded user= ip=` (warn): a rate limit rejected an attempt to log in.
//!
//! The demo writes the last two: the crate itself does not check passwords.

/// Writes a step of a request to the log, with the target `dustdevil::steps`: `name: detail`. If
/// the target is disabled, it costs a load and a comparison.
#[collapse_debuginfo(yes)]
macro_rules! step {
    ($($text:tt)+) => { log::trace!(target: "dustdevil::steps", $($text)+) };
}

pub mod escape;

pub mod crypto;

mod identity_hasher;

mod future;

mod cached_clock;

pub mod http;

pub mod session;

pub mod error;

pub mod web;

mod listener;

mod signals;

pub mod server;

pub mod guide;

pub use crate::error::{Error, HttpError, Result};
pub use crate::http::cookie::{SameSite, SetCookie};
pub use crate::http::limits::Limits;
pub use crate::http::method::Method;
pub use crate::http::network::Network;
pub use crate::http::request::Request;
pub use crate::http::status::Status;
pub use crate::http::stream::StreamSender;
pub use crate::server::Server;
pub use crate::session::Session;
pub use crate::session::memory::{MemoryLimits, MemoryStore};
#[cfg(feature = "redis")]
pub use crate::session::redis::{RedisSettings, RedisStore};
pub use crate::session::store::{Lifetime, Store};
pub use crate::web::application::Application;
pub use crate::web::exchange::Exchange;
pub use crate::web::handler::{Handler, RequestHandler, handler};
pub use crate::web::multipart::HttpFile;
pub use crate::web::redirect_handler::{RedirectHandler, RedirectTo};
pub use crate::web::route::Route;
pub use crate::web::session_handler::SessionHandler;
pub use crate::web::settings::Settings;
pub use crate::web::static_files::StaticFiles;
pub use crate::web::static_files::handler::StaticFileHandler;
pub use crate::web::template::Value;
pub use crate::web::throttle::Throttle;

/// Compiles the examples of the README as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
