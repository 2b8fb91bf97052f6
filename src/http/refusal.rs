//! A request that is refused before anyone could answer it, or while its content was read.

use std::borrow::Cow;
use std::fmt;

use crate::http::status::Status;

/// The status of a refusal, and the sentence that says what was wrong. The sentence is for the
/// client's eyes; it never quotes what the client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status that it is answered with.
    pub status: Status,
    /// What was wrong.
    pub sentence: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with any status.
    pub fn new(status: Status, sentence: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, sentence: sentence.into() }
    }

    /// The commonest one: 400.
    pub fn bad(sentence: &'static str) -> Refusal {
        Refusal::new(Status::BAD_REQUEST, sentence)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status, self.sentence)
    }
}

impl std::error::Error for Refusal {}
