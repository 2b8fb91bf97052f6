//! Sessions: server-side values that belong to one client and survive from request to request.
//!
//! A [`Session`] is live. Its operations go to the store one by one, each names one value, and each
//! is atomic. Nothing is loaded and saved back whole, so concurrent requests lose no update. A
//! destroyed session accepts nothing more, even from requests that were in flight when it ended.
//!
//! This layer names nothing of HTTP. Its files in reading order: the secret [`id`] and the key
//! derived from it, the contract of a [`store`], the built-in [`memory`] store, the `redis` store
//! that several servers can share, the per-request `state`, the [`handle`] that resolves ids and
//! rotates them, the [`operations`] that a handler calls, and [`login`]. The feature `json` adds
//! values of any type that serde can serialize.
//!
//! # Timeouts
//!
//! A session has an idle and an absolute timeout, [`Lifetime`](store::Lifetime). The defaults are
//! 5 minutes and 8 hours; "remember me" in the demo is 30 days, both. NIST SP 800-63B section 2.2.3
//! recommends at most 24 hours and 1 hour of inactivity for assurance level 2, so "remember me"
//! is for level 1 only.

pub mod error;

pub mod id;

pub mod store;

pub mod memory;

#[cfg(feature = "redis")]
pub mod redis;

mod state;

pub mod handle;

pub mod operations;

pub mod login;

#[cfg(feature = "json")]
pub mod json;

pub use crate::session::error::Error;
pub use crate::session::handle::{Session, SessionConfig};
pub use crate::session::state::ClientUpdate;
pub use crate::session::store::{DEVICE, USERNAME};
