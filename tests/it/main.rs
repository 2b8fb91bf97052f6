//! The integration tests: one program with a module for each topic. `tests/README.md` is the
//! guide.

#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::format_push_string, clippy::format_collect)]
#![allow(clippy::similar_names)]

/// The demo itself, compiled from the source of its binary.
#[path = "../../src/demo/main.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod demo;

mod session_app;
mod support;

mod arguments;
mod browser;
mod clients;
mod command;
mod conditions;
mod contract;
mod control_client;
mod cookies;
#[cfg(feature = "redis")]
mod crashes;
mod curl;
mod defaults;
mod departures;
mod eviction;
mod faults;
mod guide;
mod handlers;
mod ids;
mod injection;
#[cfg(feature = "json")]
mod json;
mod lab;
mod log;
mod login;
mod memory_store;
mod nginx;
mod oracle;
mod origins;
mod ports;
mod presented_ids;
mod process;
#[cfg(feature = "redis")]
mod processes;
mod properties;
mod proxies;
mod races;
mod ranges;
mod readme;
#[cfg(feature = "redis")]
mod redis_cost;
#[cfg(feature = "redis")]
mod redis_failover;
#[cfg(feature = "redis")]
mod redis_server;
#[cfg(feature = "redis")]
mod redis_store;
mod resources;
mod routes;
mod semantics;
mod sessions;
mod simulation;
mod static_files;
mod steps;
mod templates;
mod tidy;
mod transcripts;
mod uploads;
mod users;
mod verbs;
mod webdriver;
mod wire;
mod xsrf;
