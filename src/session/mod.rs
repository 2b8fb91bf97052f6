//! Sessions: what a server remembers of a visitor from one request to the next.
//!
//! A [`Session`] is live. It is not a copy that is loaded, changed and saved back whole, which
//! loses whatever another request wrote in between; every operation names one value, and happens
//! in the store, at once and as a whole. A session that ended accepts nothing and comes back for
//! nobody, whatever is still in flight.
//!
//! Nothing here knows HTTP. In reading order: the secret that names a session ([`id`]),
//! how a store answers ([`answer`]) and what it promises ([`store`]), the store that is built in
//! ([`memory`]), the one that several servers share (`redis`, by way of `redis_node` and
//! `redis_connection`), the [`Session`] that a handler holds and how it is found (`standing`,
//! [`live`]), what a handler does with it ([`verbs`]), and whose it is ([`login`]). With the feature
//! `json`, values may be whatever serde knows.

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
pub use crate::session::handle::{Rules, Session};
pub use crate::session::state::Announcement;
pub use crate::session::store::{DEVICE, USERNAME};
