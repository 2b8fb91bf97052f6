//! The content of a response: bytes in memory, a range of a file, or a stream.

use std::fmt;

use bytes::Bytes;

use crate::http::file::FileBody;
use crate::http::stream::Stream;

/// The content of a response.
pub enum Body {
    /// Complete content in memory.
    Bytes(Bytes),
    /// Content that a future produces while it is sent.
    Stream(Stream),
    /// A range of an open file, read while it is sent. Boxed, because it is large and rare.
    File(Box<FileBody>),
}

/// Shows the length and not the content, which may contain secrets.
impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Bytes(content) => write!(formatter, "Bytes({} bytes)", content.len()),
            Body::Stream(stream) => stream.fmt(formatter),
            Body::File(file) => write!(formatter, "File({} bytes)", file.length()),
        }
    }
}

impl Body {
    /// Returns `true` if the content is in memory and has no bytes. Files and streams count as
    /// content even if their length is 0.
    pub fn is_empty(&self) -> bool {
        matches!(self, Body::Bytes(bytes) if bytes.is_empty())
    }

    /// Returns the length in bytes, or `None` for a stream of unknown length.
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Stream(stream) => stream.length(),
            Body::File(file) => Some(file.length()),
        }
    }
}
