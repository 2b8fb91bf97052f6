//! Dustdevil is a small tornado: an HTTP/1.1 server by hand on tokio sockets, with Tornado's
//! `RequestHandler`, its `initialize` hook, and the sessions that Tornado never had. It is made
//! to be read.
//!
//! ```no_run
//! use dustdevil::{Application, Exchange, Method, RequestHandler, Result, Settings, handler};
//!
//! struct HelloHandler;
//!
//! impl RequestHandler for HelloHandler {
//!     const SUPPORTED_METHODS: &'static [Method] = &[Method::Get];
//!
//!     async fn initialize(_: &mut Exchange) -> Result<Self> {
//!         Ok(Self)
//!     }
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
//! # Layout
//!
//! Three wings and a door. `http` and `session` can each be read alone; `web` stands on both. To
//! find a line's room, ask: is it in an RFC, in Tornado's manual, or in neither? The modules are
//! declared in the order to read them.
//!
//! - [`http`]: HTTP/1.1 as RFC 9110 and RFC 9112 have it. A socket becomes requests, responses
//!   become bytes. It names nothing of `web` or `session`.
//! - [`session`]: what a server remembers of a visitor. It names nothing of HTTP.
//! - [`web`]: Tornado's side: applications, handlers, templates, static files.
//! - [`server`]: the door. It listens, accepts, gives each connection a task, and closes up; with
//!   `listener`, its socket, and `signals`, which tell it to stop.
//!
//! Beside them stand [`escape`], [`token`], `hash`, `unwind`, `turn` and `at_once`, which need
//! nobody, and [`error`], where what goes wrong in any wing becomes an answer. `main.rs` is the
//! demo, written as a stranger to the crate would write it: begin there.
//!
//! # How a request passes through
//!
//! [`server`] accepts a socket and hands it to [`http::connection`], which reads bytes until
//! [`http::request`] finds a head in them. [`web::application`] finds the route, and
//! [`web::handler`] has the handler live its one request: the hook, the checks, the method. What
//! the method does, it does with the [`web::exchange`]. Then [`http::response`] writes the answer,
//! and the connection sends it.

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

pub use crate::error::{Error, HttpError, Result};
pub use crate::http::cookie::{SameSite, SetCookie};
pub use crate::http::limits::Limits;
pub use crate::http::method::Method;
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
pub use crate::web::route::Route;
pub use crate::web::session_handler::SessionHandler;
pub use crate::web::settings::Settings;
pub use crate::web::throttle::Throttle;

/// The README's examples are compiled with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
