//! Tornado's side of the house: applications, handlers, and what they say.
//!
//! In reading order: what an application is told ([`settings`]); the parts that know nothing of
//! requests under way ([`template`], [`arguments`], [`multipart`], [`xsrf`], `content_type`,
//! `document_root`, [`static_file`], [`static_files`], [`throttle`], `forwarded`, `hosts`); what all requests
//! share (`shared`); one request and the response being built for it ([`exchange`], `access`,
//! `cookies`, `verbs`); the life of one request ([`handler`]); the handlers that are built in
//! ([`session_handler`], [`static_handler`]); and who gets which request ([`route`],
//! [`application`]).

pub mod settings;

pub mod template;

pub mod arguments;

pub mod multipart;

pub mod xsrf;

pub mod static_files;

pub mod throttle;

mod forwarded;

mod hosts;

mod access;

mod shared;

pub mod exchange;

mod exchange_cookies;

mod exchange_arguments;

mod exchange_render;

mod exchange_xsrf;

pub mod handler;

pub mod session_handler;

pub mod route;

pub mod application;
