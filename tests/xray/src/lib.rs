//! X-ray: the demo, observed. Each request leaves a film: its bytes with their offsets, the
//! functions that handled them, and what happened to the session.
//!
//! ```text
//! dustdevil-xray --port 8888          the demo, with films at /xray/ and a player at /play
//! dustdevil-xray play TRANSCRIPT      plays one transcript and prints its films
//! dustdevil-xray race                 prints two requests that race for one session
//! ```

/// The demo, compiled from its source against the facade.
#[path = "../../../src/demo/main.rs"]
#[allow(dead_code, unused_imports, unreachable_pub)]
pub mod demo;

/// The application of the transcripts, compiled from the source of the tests.
#[path = "../../it/transcripts.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, missing_docs)]
pub mod transcripts;

#[path = "../../it/resources.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
pub mod resources;

#[path = "../../it/steps.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
pub mod steps;

pub mod guide;
pub mod html;
pub mod pages;
mod picture;
pub mod play;
pub mod program;
pub mod race;
pub mod serve;
pub mod source;
pub mod support;
pub mod text;
