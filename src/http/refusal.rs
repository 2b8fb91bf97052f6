//! The rejection of a request that could not be parsed: a status and an error message.

use std::fmt;
use std::panic::Location;

use crate::http::status::Status;

/// The error of the parser, for the head and for the content. It becomes a plain-text response.
///
/// The message is a constant of this crate. It never quotes what the client sent, so a refusal
/// cannot reflect markup to a browser or forge a line in a log. Two refusals are equal if status
/// and message are.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Status of the response.
    pub status: Status,
    /// Error message for the client and the log.
    pub message: &'static str,
    /// The source line that refused the request, for the log. The compiler passes it to each
    /// function with the attribute `track_caller`.
    pub location: &'static Location<'static>,
}

impl Refusal {
    /// Creates a refusal with any status.
    #[track_caller]
    pub fn new(status: Status, message: &'static str) -> Refusal {
        Refusal { status, message, location: Location::caller() }
    }

    /// Creates a refusal with status 400 (Bad Request), the most common one.
    #[track_caller]
    pub fn bad(message: &'static str) -> Refusal {
        Refusal::new(Status::BAD_REQUEST, message)
    }
}

impl PartialEq for Refusal {
    fn eq(&self, other: &Refusal) -> bool {
        (self.status, self.message) == (other.status, other.message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.status, self.message)
    }
}

impl std::error::Error for Refusal {}

/// Displays a source line as ` (src/http/framing.rs:67)`, with the space before it.
///
/// For the sources of a dependency, rustc gives an absolute path on the machine that built it,
/// which is private: only the part from the last `src` is shown. A line of the standard library
/// is left out, because it says nothing: it is the caller of a constructor that was passed as a
/// function, as in `map_err(Error::other)`.
pub(crate) struct Origin(pub(crate) &'static Location<'static>);

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.0.file();
        if file.starts_with("/rustc/") {
            return Ok(());
        }
        let slash =
            file.rfind("/src/").or(file.rfind('/')).filter(|_| file.starts_with('/'));
        let shown = slash.map_or(file, |slash| &file[slash + 1..]);
        write!(formatter, " ({shown}:{})", self.0.line())
    }
}
