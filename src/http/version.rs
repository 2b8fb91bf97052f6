//! Versions of HTTP/1 (RFC 9112 section 2.3).

/// The version of a request, as far as it changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// No chunked content; connections end unless `keep-alive` is asked for.
    Http10,
    /// And any higher minor version.
    Http11,
}
