//! The limits of one connection: how much memory and time one client may use.
//!
//! A client that sends or reads slowly costs the attacker nothing and occupies a connection:
//! slowloris sends a head byte by byte and never finishes it, and its variants do the same with
//! the content (slow POST) or read the response slowly (slow read). So every wait for a client
//! has a timeout, and content also has a minimum data rate.

use std::time::Duration;

/// The limits of one connection. Above most of them the client gets an error response. After
/// the last five timeouts the connection is closed without one.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Maximum length of the request line in bytes, without its CRLF. Above the limit: 414.
    /// Default: 8 KiB.
    pub max_request_line: usize,
    /// Maximum length of the whole head in bytes. Above the limit: 431. Default: 32 KiB.
    pub max_head: usize,
    /// Maximum number of fields in a head. Above the limit: 431. Default: 100.
    pub max_fields: usize,
    /// Maximum length of the content in bytes, without chunk framing. Above the limit: 413; if
    /// `Content-Length` is above it, none of the content is read. Default: 1 MiB.
    pub max_content: usize,
    /// Timeout of a head, from its first byte to its last; the defense against slowloris. After
    /// it: 408. Default: 10 s.
    pub head_timeout: Duration,
    /// Timeout of the content, from the time at which the handler has been created and its
    /// content is read, to the last byte. A generous cap: `min_content_rate` stops a slow
    /// upload much earlier. After it: 408. Default: 1 hour.
    pub content_timeout: Duration,
    /// Minimum data rate of the content in bytes per second, averaged since its start; the
    /// defense against a slow POST. It applies after a grace period of 15 s. Below the limit:
    /// 408. 0 counts as 1. Default: 256.
    pub min_content_rate: u32,
    /// Keep-alive timeout: time for which a connection may be idle before its first request and
    /// between two requests. After it, the connection is closed. Default: 60 s.
    pub idle_timeout: Duration,
    /// Minimum keep-alive timeout: an idle connection stays open for so long even if the server
    /// shuts down or another connection needs its slot, because a request in flight would be
    /// lost. An
    /// `idle_timeout` below it has no effect. A connection that waits for its client in any
    /// other way (head, content, response) is not evicted earlier, either. Default: 250 ms.
    pub min_idle_timeout: Duration,
    /// Timeout of a write: time in which the client must accept at least one byte of a
    /// response; the defense against slow reads. After it, the connection is reset. The kernel
    /// reports progress in large steps, so a client that reads less than about 10 KiB per
    /// second may seem to read nothing. Default: 30 s.
    pub write_timeout: Duration,
    /// Timeout of a handler, or of each piece of a stream, after the client has closed its side
    /// of the connection (TCP half-close). Such a client may still read or may have exited; the
    /// server cannot tell which. After it, the handler or stream is dropped. Default: 30 s.
    pub half_close_timeout: Duration,
    /// Timeout of a lingering close (RFC 9112 section 9.6): time for which a connection that is
    /// being closed reads and discards bytes from the client. Closing with unread bytes would
    /// send a reset, which can destroy the last response. Default: 2 s.
    pub linger_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_request_line: 8 * 1024,
            max_head: 32 * 1024,
            max_fields: 100,
            max_content: 1024 * 1024,
            head_timeout: Duration::from_secs(10),
            content_timeout: Duration::from_secs(3600),
            min_content_rate: 256,
            idle_timeout: Duration::from_secs(60),
            min_idle_timeout: Duration::from_millis(250),
            write_timeout: Duration::from_secs(30),
            half_close_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
        }
    }
}
