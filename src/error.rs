//! What can go wrong while a request is answered, and what it is answered with.

use std::borrow::Cow;
use std::fmt;
use std::io;

use crate::http::cookie::InvalidCookie;
use crate::http::refusal::Refusal;
use crate::http::response::InvalidField;
use crate::http::status::Status;
use crate::session;

/// What most of this crate returns. A handler's method ends in `Ok(())`.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Ends a request early. `?` carries it out of a handler, and it is answered in one place:
/// [`write_error`](crate::web::handler::RequestHandler::write_error).
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Answer with a status. Tornado's `HTTPError`.
    Http(Box<HttpError>),
    /// The answer is complete: send it as it is. Tornado's `Finish`.
    Finish,
    /// The session could not do it: 503 if its store is out of reach, and else 500.
    Session(session::Error),
    /// The handler panicked.
    Panic,
    /// The handler took longer than the
    /// [`handler_timeout`](crate::web::settings::Settings::handler_timeout): 503.
    HandlerTimeout,
    /// The application is not set up right. Said at its start, before anything is served.
    Config(String),
    /// Anything else: a 500 for the client, and a line in the log; 503 if the system has no file
    /// left.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

/// A status, and what the client is told with it.
#[derive(Clone, Debug)]
pub struct HttpError {
    /// The status.
    pub status: Status,
    /// A sentence for the client; it may be empty. It goes to the log, too.
    pub message: Cow<'static, str>,
    /// Header fields that belong to the answer, such as `Retry-After`.
    pub headers: Vec<(&'static str, String)>,
}

impl HttpError {
    /// A status, and a sentence that says what was wrong.
    pub fn new(status: Status, message: impl Into<Cow<'static, str>>) -> HttpError {
        HttpError { status, message: message.into(), headers: Vec::new() }
    }

    /// With one header field more.
    #[must_use]
    pub fn with_header(
        mut self,
        name: &'static str,
        value: impl Into<String>,
    ) -> HttpError {
        self.headers.push((name, value.into()));
        self
    }
}

impl Error {
    /// An answer with `status` and a sentence that says what was wrong.
    pub fn http(status: Status, message: impl Into<Cow<'static, str>>) -> Error {
        HttpError::new(status, message).into()
    }

    /// A fault that is the application's own: the client sees a 500, the log sees the message.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into())
    }

    /// What the client is told.
    pub(crate) fn to_http_error(&self) -> HttpError {
        match self {
            Error::Http(error) => HttpError::clone(error),
            Error::Session(session::error::Error::Unavailable(_)) => service_unavailable(
                "The session store is unavailable. Please try again later.",
            ),
            Error::HandlerTimeout => {
                let message = "The request took too long to process.";
                HttpError::new(Status::SERVICE_UNAVAILABLE, message)
            }
            Error::Other(error)
                if error.downcast_ref::<io::Error>().is_some_and(is_out_of_fds) =>
            {
                service_unavailable("The server is overloaded. Please try again later.")
            }
            _ => {
                let message = "Internal error. It was not your fault.";
                HttpError::new(Status::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Http(error) if error.message.is_empty() => error.status.fmt(formatter),
            Error::Http(error) => write!(formatter, "{}: {}", error.status, error.message),
            Error::Finish => formatter.write_str("finished early"),
            Error::Panic => formatter.write_str("the handler panicked"),
            Error::HandlerTimeout => {
                formatter.write_str("the handler took longer than it may")
            }
            Error::Session(error) => error.fmt(formatter),
            Error::Config(message) => formatter.write_str(message),
            Error::Other(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Session(error) => Some(error),
            Error::Other(error) => Some(&**error),
            Error::Http(_)
            | Error::Finish
            | Error::Panic
            | Error::HandlerTimeout
            | Error::Config(_) => None,
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Error {
        Error::Http(Box::new(error))
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let error = HttpError::new(refusal.status, refusal.message);
        match refusal.status {
            Status::SERVICE_UNAVAILABLE => error.with_header("Retry-After", "1").into(),
            _ => error.into(),
        }
    }
}

impl From<session::Error> for Error {
    fn from(error: session::Error) -> Error {
        Error::Session(error)
    }
}

impl From<InvalidField> for Error {
    fn from(error: InvalidField) -> Error {
        Error::other(error)
    }
}

impl From<InvalidCookie> for Error {
    fn from(error: InvalidCookie) -> Error {
        Error::other(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::other(error)
    }
}

/// 503, for what may soon be in order again.
fn service_unavailable(message: &'static str) -> HttpError {
    HttpError::new(Status::SERVICE_UNAVAILABLE, message).with_header("Retry-After", "1")
}

/// Whether the process, or the system, has no file left: EMFILE or ENFILE, which have these
/// numbers on every Unix.
pub(crate) fn is_out_of_fds(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}
