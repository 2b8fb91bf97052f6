//! The errors of a session operation.

use std::fmt;

pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a session operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The store did not reply, so it is not known whether the operation was done. The text says
    /// why, for the log.
    Unavailable(String),
    /// The store is configured wrongly. Returned when the store is created, before any session
    /// is used.
    Config(String),
    /// The session would be larger than its store allows. Nothing was changed.
    TooLarge {
        /// The store's limit for one session, in bytes of names and values.
        limit: usize,
    },
    /// The stored value cannot be parsed as the requested type, or the value to store cannot be
    /// serialized.
    WrongType {
        /// The name of the value.
        name: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unavailable(why) => {
                write!(formatter, "session store unavailable: {why}")
            }
            Error::Config(message) => formatter.write_str(message),
            Error::TooLarge { limit } => {
                write!(formatter, "the session would be larger than {limit} bytes")
            }
            Error::WrongType { name } => {
                write!(formatter, "the session value {name:?} is not of the requested type")
            }
        }
    }
}

impl std::error::Error for Error {}
