//! The content of a response: in memory, in a file, or made while it is sent.

use std::fmt;

use bytes::Bytes;

use crate::http::file::FileBody;
use crate::http::stream::Stream;

/// The content of a response.
pub enum Body {
    /// There and complete.
    Bytes(Bytes),
    /// Made while it is sent.
    Stream(Stream),
    /// In a file.
    File(Box<FileBody>),
}

/// Shows how much there is, and not what.
impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Bytes(content) => write!(formatter, "Bytes({} bytes)", content.len()),
            Body::Stream(stream) => stream.fmt(formatter),
            Body::File(part) => write!(formatter, "File({} bytes)", part.length()),
        }
    }
}

impl Body {
    /// Whether it is there, and has no byte.
    pub fn is_empty(&self) -> bool {
        matches!(self, Body::Bytes(bytes) if bytes.is_empty())
    }

    /// Its length in bytes, where it is known before it is sent.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Stream(stream) => stream.length(),
            Body::File(part) => Some(part.length()),
        }
    }
}
