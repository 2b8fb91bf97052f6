//! What a client may take of the server: bytes, and time.

use std::time::Duration;

/// The limits of one connection. Past most of them there is an answer with a sentence; past the
/// last five the connection just ends.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request line, without its end. Past it: 414. Default: 8 KiB.
    pub max_request_line: usize,
    /// Bytes of a whole head. Past it: 431. Default: 32 KiB.
    pub max_head: usize,
    /// Fields of a head. Past it: 431. Default: 100.
    pub max_fields: usize,
    /// Bytes of content. Past it: 413, before it is read where its length was announced.
    /// Default: 1 MiB.
    pub max_content: usize,
    /// From the first byte of a head to its end. Past it: 408. Default: 10 s.
    pub head_timeout: Duration,
    /// From when content is asked for, once the handler is made, to its end: a generous cap, for the
    /// `min_content_rate` decides much earlier about a client that is slow. Past it: 408. Default: an
    /// hour.
    pub content_timeout: Duration,
    /// Bytes of content a second, counted once the first 15 seconds are over. A client that
    /// is slower on the whole is answered 408. 0 counts as 1. Default: 256.
    pub min_content_rate: u32,
    /// How long a connection may stand between requests. Past it, it is closed. Default: 60 s.
    pub idle_timeout: Duration,
    /// How long it may stand so in any case, when the server shuts down or another connection needs
    /// its place: a request may be on its way, and would be lost with it. No `idle_timeout` is shorter.
    /// A connection that waits for its client in any other way has as long before it may be
    /// evicted. Default: 250 ms.
    pub min_idle_timeout: Duration,
    /// How long a client may take none of what is written to it. Past it, the connection is
    /// dropped. The system shows it in steps, so that one who takes less than some 10 KiB a
    /// second may seem to take none. Default: 30 s.
    pub write_timeout: Duration,
    /// How long a handler or a stream may keep a client waiting that has closed its side of the
    /// connection, counted anew for each piece of a stream. Such a client may still read, or may be
    /// gone: the two look the same. Past it, the work is dropped. Default: 30 s.
    pub half_close_timeout: Duration,
    /// How long a connection that is being closed goes on to read, and to throw away, what
    /// the client still sends, so that the last answer is not lost with it. Default: 2 s.
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
