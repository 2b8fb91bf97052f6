//! A request that is refused before anyone could answer it, or while its content was read.

use std::fmt;

use crate::http::status::Status;

/// The status of a refusal, and the sentence that says what was wrong. The sentence stands in this
/// crate: it quotes nothing that the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status that it is answered with.
    pub status: Status,
    /// What was wrong.
    pub message: &'static str,
}

impl Refusal {
    /// A refusal with any status.
    pub fn new(status: Status, message: &'static str) -> Refusal {
        Refusal { status, message }
    }

    /// The commonest one: 400.
    pub fn bad(message: &'static str) -> Refusal {
        Refusal::new(Status::BAD_REQUEST, message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Refusal {}
