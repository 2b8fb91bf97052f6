//! A facade of the library that observes: each request leaves a [`Film`].
//!
//! An application compiles against this crate instead of `dustdevil`. All names are those of the
//! library, except for [`handler`], which wraps each handler in [`Observed`]. The other observers
//! wrap the library's public seams:
//!
//! ```text
//! seam                        observer               records
//! Socket                      socket::Observed       bytes in and out, with their offsets
//! Service                     service::Observed      the head, the response
//! Incoming                    service::Observed      the content
//! RequestHandler              Observed<H>            the hooks, in Tornado's order
//! Store                       store::Observed        each operation, before and after
//! log, dustdevil::steps       logger                 decisions that have no seam
//! ```
//! Each record has a backtrace: the chain of functions that wait for each other. Nothing is
//! written down by hand, so a film cannot disagree with the source.

mod film;

mod hooks;

pub mod logger;

pub mod mask;

mod recorder;

mod recording;

pub mod service;

pub mod socket;

pub mod split;

pub mod store;

mod trace;

pub use film::{Film, Films, Frame, Layer, MAX_FILM_BYTES, MAX_FILMS, Step};
pub use hooks::{Observed, handler};
pub use real::*;
pub use recorder::{Recorder, note, record, skip};
pub use trace::{root, source_path};
