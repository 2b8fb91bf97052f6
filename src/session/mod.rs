//! Sessions: server-side values that belong to one client and survive from request to request.
//!
//! A [`Session`] is live. Its operations go to the store one by one, each names one value, and each
//! is atomic. Nothing is loaded and saved back whole, so concurrent requests lose no update. A
//! destroyed session accepts nothing more, even from requests that were in flight when it ended.
//!
//! This layer imports nothing of the HTTP layer. Its files in reading order: the secret [`id`] and the key
//! derived from it, the contract of a [`store`], the built-in [`memory`] store, the `redis` store
//! that several servers can share, the per-request `state`, the [`handle`] that resolves ids and
//! rotates them, the [`operations`] that a handler calls, and [`login`]. The feature `json` adds
//! values of any type that serde can serialize.
//!
//! # Timeouts
//!
//! A session has an idle and an absolute timeout, [`Lifetime`](store::Lifetime). The defaults are
//! 5 minutes and 8 hours. "Remember me" in the demo is 14 days and 30 days: NIST SP 800-63B section
//! 2.2.3 allows 30 days for assurance level 1 (a password alone), and 24 hours with 1 hour of
//! inactivity for level 2.
//!
//! # Example
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use dustdevil::{Lifetime, Result, Session};
//!
//! async fn example(session: Session) -> Result {
//!     session.set("theme", "dark").await?;
//!     let theme = session.get("theme").await?;
//!     let count = |visits: Option<u32>| visits.unwrap_or(0) + 1;
//!     let visits = session.update("visits", count).await?;
//!     let visits = session.increment("visits", 1).await?;
//!     session.flash("Saved.").await?;
//!
//!     // After a password check: a new id, and a new absolute timeout.
//!     session.log_in("alice").await?;
//!     let (idle, absolute) = (Duration::from_secs(14 * 86_400), Duration::from_secs(30 * 86_400));
//!     session.log_in_for("alice", Lifetime { idle, absolute }).await?;
//!
//!     // The sessions of the same user, and their revocation.
//!     for other in session.sessions().await? {
//!         println!("{}, idle for {:?}", other.last_ip, other.idle);
//!     }
//!     session.revoke_others().await?;
//!     session.destroy().await?;
//!     Ok(())
//! }
//! ```

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
