//! The error type of the crate, and its conversion to the response that the client gets.
//!
//! Handlers return errors with `?`; one place turns them into responses. The client sees the
//! message of an [`HttpError`] only. All other errors are a 500 or 503 with a fixed message,
//! and their details go to the log, because they may name files, addresses or data of other
//! users.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::panic::Location;

use crate::http::refusal::{Origin, Refusal};
use crate::http::response::InvalidField;
use crate::http::status::Status;
use crate::session;

/// The result type of this crate. A handler's method ends in `Ok(())`.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The reason for which a handler stops. `?` returns it from the handler, and
/// [`write_error`](crate::web::handler::RequestHandler::write_error) writes the response.
#[non_exhaustive]
pub enum Error {
    /// Respond with a status and a message. Tornado's `HTTPError`.
    Http(Box<HttpError>),
    /// The request lacks an argument of this name, which this source line asks for: 400.
    /// Tornado's `MissingArgumentError`.
    MissingArgument(String, &'static Location<'static>),
    /// Send the response as it is; not a failure. Tornado's `Finish`.
    Finish,
    /// A session operation failed, at this source line: 503 if the store is unavailable, 500
    /// otherwise.
    Session(Box<session::Error>, &'static Location<'static>),
    /// The handler panicked with this message: 500. The panic hook logs the source line.
    Panic(String),
    /// The handler took longer than the
    /// [`handler_timeout`](crate::web::settings::Settings::handler_timeout): 503.
    HandlerTimeout,
    /// The configuration is invalid. Returned at the start, before anything is served.
    Config(String),
    /// Any other error, and the source line of its conversion: 500, or 503 if the process is out
    /// of file descriptors.
    Other(Box<dyn std::error::Error + Send + Sync>, &'static Location<'static>),
}

/// A status with a message and header fields for the client.
#[derive(Clone)]
pub struct HttpError {
    /// The status.
    pub status: Status,
    /// The message for the client and the log. May be empty.
    pub message: Cow<'static, str>,
    /// Additional header fields of the response, such as `Retry-After`.
    pub headers: Vec<(&'static str, String)>,
    /// What the log says in addition to the message. The client does not get it.
    pub detail: String,
    /// The source line that made the error.
    pub location: &'static Location<'static>,
}

impl HttpError {
    /// Creates an error with a message for the client.
    #[track_caller]
    pub fn new(status: Status, message: impl Into<Cow<'static, str>>) -> HttpError {
        let location = Location::caller();
        let message = message.into();
        HttpError { status, message, headers: Vec::new(), detail: String::new(), location }
    }

    /// Sets what the log says in addition to the message.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> HttpError {
        self.detail = detail.into();
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Error {
    /// Creates an [`Error::Http`] with a message for the client.
    #[track_caller]
    pub fn http(status: Status, message: impl Into<Cow<'static, str>>) -> Error {
        HttpError::new(status, message).into()
    }

    /// Creates an [`Error::Other`]: the client gets a 500, the log gets the message and the
    /// caller's source line. The line is not known if `Error::other` is passed as a function
    /// (`map_err(Error::other)`).
    #[track_caller]
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Other(error.into(), Location::caller())
    }

    /// Returns the status, message and header fields that the client gets.
    pub(crate) fn to_http_error(&self) -> HttpError {
        match self {
            Error::Http(error) => HttpError::clone(error),
            Error::MissingArgument(name, location) => {
                let message = format!("The argument {name} is missing.");
                let error = HttpError::new(Status::BAD_REQUEST, message);
                HttpError { location, ..error }
            }
            Error::Session(error, _)
                if matches!(**error, session::Error::Unavailable(_)) =>
            {
                let message = "The session store is unavailable. Please try again later.";
                service_unavailable(message)
            }
            Error::HandlerTimeout => {
                let message = "The request took too long to process.";
                HttpError::new(Status::SERVICE_UNAVAILABLE, message)
            }
            Error::Other(error, _)
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

/// The text for the log. The client gets [`to_http_error`](Error::to_http_error) instead.
impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Http(error) if error.message.is_empty() => error.status.fmt(formatter),
            Error::Http(error) => write!(formatter, "{}: {}", error.status, error.message),
            Error::MissingArgument(..) => Error::from(self.to_http_error()).fmt(formatter),
            Error::Finish => formatter.write_str("finished early"),
            Error::Panic(message) => write!(formatter, "the handler panicked: {message}"),
            Error::HandlerTimeout => {
                formatter.write_str("the handler took longer than it may")
            }
            Error::Session(error, _) => error.fmt(formatter),
            Error::Config(message) => formatter.write_str(message),
            Error::Other(error, _) => error.fmt(formatter),
        }
    }
}

/// The text for the log, with its detail and its source line, as far as they are known. A `main`
/// that returns the error prints this form.
impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Http(error) => error.fmt(formatter),
            Error::MissingArgument(..) => self.to_http_error().fmt(formatter),
            Error::Session(_, location) | Error::Other(_, location) => {
                write!(formatter, "{self}{}", Origin(location))
            }
            _ => fmt::Display::fmt(self, formatter),
        }
    }
}

/// The message, the detail and the source line, for the log.
impl fmt::Debug for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.detail.is_empty() { "" } else { " " };
        let HttpError { message, detail, location, .. } = self;
        write!(formatter, "{message}{separator}{detail}{}", Origin(location))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Session(error, _) => Some(&**error),
            Error::Other(error, _) => Some(&**error),
            _ => None,
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Error {
        Error::Http(Box::new(error))
    }
}

/// A request that the HTTP layer rejects while a handler reads its content. A 503 means that
/// there was no memory for the content at the moment, so the client may retry in a second.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let mut error = HttpError::new(refusal.status, refusal.message);
        error.location = refusal.location;
        match refusal.status {
            Status::SERVICE_UNAVAILABLE => error.with_header("Retry-After", "1").into(),
            _ => error.into(),
        }
    }
}

impl From<session::Error> for Error {
    #[track_caller]
    fn from(error: session::Error) -> Error {
        Error::Session(Box::new(error), Location::caller())
    }
}

impl From<InvalidField> for Error {
    #[track_caller]
    fn from(error: InvalidField) -> Error {
        Error::other(error)
    }
}

impl From<io::Error> for Error {
    #[track_caller]
    fn from(error: io::Error) -> Error {
        Error::other(error)
    }
}

/// JSON that the application itself has to read or write: 500. For the content of a request,
/// [`json_content`](crate::Exchange::json_content) responds with 400 instead.
#[cfg(feature = "json")]
impl From<serde_json::Error> for Error {
    #[track_caller]
    fn from(error: serde_json::Error) -> Error {
        Error::other(error)
    }
}

/// A 503 for a condition that is expected to end soon, with `Retry-After` in seconds.
fn service_unavailable(message: &'static str) -> HttpError {
    HttpError::new(Status::SERVICE_UNAVAILABLE, message).with_header("Retry-After", "1")
}

/// Returns `true` if the process (EMFILE, 24) or the system (ENFILE, 23) is out of file
/// descriptors. std has no `ErrorKind` for them; the numbers are the same on every Unix.
pub(crate) fn is_out_of_fds(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}
