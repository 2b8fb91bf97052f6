//! Tornado's API on top of the `http` and `session` layers: applications, handlers, templates,
//! static files.
//!
//! The files in reading order: the [`settings`]; parts that do not depend on a request
//! ([`template`], [`arguments`], [`multipart`], [`xsrf`], [`signed`] cookies,
//! [`static_files`], the rate limiter [`throttle`], `forwarded` for the real client IP, `hosts`
//! against DNS rebinding); the access
//! log (`access`); the state that all requests share (`shared`); a request with its response
//! ([`exchange`], with its methods for cookies, arguments, JSON, templates and XSRF tokens
//! in `exchange_*`); the life cycle of a request ([`handler`], with its error pages in `error_page` and the macro `methods!`); the base handler with a session
//! ([`session_handler`]); routing ([`route`], [`application`]), and redirects of a
//! route ([`redirect_handler`]).
//!
//! Blank lines between the declarations keep rustfmt from sorting them.

pub mod settings;

pub mod template;

pub mod arguments;

pub mod multipart;

pub mod xsrf;

pub mod signed;

pub mod static_files;

pub mod throttle;

mod forwarded;

mod hosts;

mod access;

mod shared;

pub mod exchange;

mod exchange_cookies;

mod exchange_arguments;

#[cfg(feature = "json")]
mod exchange_json;

mod exchange_render;

mod exchange_xsrf;

mod error_page;

pub mod handler;

mod methods;

pub mod session_handler;

pub mod route;

pub mod redirect_handler;

pub mod application;
