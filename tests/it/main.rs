//! The tests, a module for each room of the house. `tests/README.md` tells how to read them.

#![allow(missing_docs, unreachable_pub, clippy::format_push_string)]

/// The demo itself, as its binary has it.
#[path = "../../src/main.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
mod demo;

mod support;

mod arguments;
mod handlers;
