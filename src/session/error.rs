//! What can go wrong with a session.

use std::fmt;

/// Why a session could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The store is out of reach. The message says more.
    Unavailable(String),
    /// The store is not set up right. Said when it is made, before any session is asked for.
    Config(String),
    /// The session would hold more than its store allows.
    TooLarge {
        /// The store's limit, in octets of names and values.
        limit: usize,
    },
    /// What is kept under this name is not of the type that was asked for, or what was to be kept
    /// cannot be.
    WrongType {
        /// The name.
        name: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Unavailable(why) => {
                write!(formatter, "the session store is away: {why}")
            }
            Error::Config(message) => formatter.write_str(message),
            Error::TooLarge { limit } => {
                write!(formatter, "the session would hold more than {limit} octets")
            }
            Error::WrongType { name } => {
                write!(formatter, "the session's {name:?} is not of the type asked for")
            }
        }
    }
}

impl std::error::Error for Error {}
