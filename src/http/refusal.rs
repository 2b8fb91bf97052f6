//! The rejection of a request that could not be parsed: a status and an error message.

use std::fmt;

use crate::http::status::Status;

/// The error of the parser, for the head and for the content. It becomes a plain-text response.
///
/// The message is a constant of this crate. It never quotes what the client sent, so a refusal
/// cannot reflect markup to a browser or forge a line in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the response.
    pub status: Status,
    /// Error message for the client and the log.
    pub message: &'static str,
}

impl Refusal {
    /// Creates a refusal with any status.
    pub fn new(status: Status, message: &'static str) -> Refusal {
        step!("refused: {status} {message}");
        Refusal { status, message }
    }

    /// Creates a refusal with status 400 (Bad Request), the most common one.
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
