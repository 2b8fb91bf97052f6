//! How the end of a message's content is told (RFC 9112 section 6.3).

/// How the end of the content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// So many octets.
    Length(u64),
    /// Chunks, the last of which is empty.
    Chunked,
}
