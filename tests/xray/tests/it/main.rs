//! The tests of the observer and of its program: one program with a module for each topic.

#![allow(missing_docs, unreachable_pub)]

#[path = "../../../it/webdriver.rs"]
#[allow(dead_code)]
mod webdriver;

mod browser;
mod films;
mod masks;
mod messages;
mod pages;
mod program;
mod readme;
mod support;
