//! HTTP/1.1: semantics as defined by RFC 9110, wire format as defined by RFC 9112.
//!
//! This layer parses requests from a socket and serializes responses to it. It does not import
//! handlers, templates or sessions: a connection calls a [`Service`] for each request.
//!
//! The modules are declared in reading order; the blank lines keep rustfmt from sorting them.
//!
//! - The vocabulary: [`method`], [`status`], [`limits`], [`refusal`] and `grammar`.
//! - From bytes to a request: [`target`], [`framing`], [`head`], [`request`].
//! - State that all connections share: [`shutdown`], `buffer_budget`, [`network`], `eviction`,
//!   [`server_state`].
//! - The socket and its buffers: [`buffered`]. Reading content: [`chunked`], `content_buffer`,
//!   [`content`].
//! - From a response to bytes: [`date`], [`stream`], [`file`](mod@file), [`body`],
//!   [`response`], `response_head`, `send`.
//! - The life of a connection: `lazy_timer`, [`connection`].
//! - Optional features of HTTP that handlers use: [`cookie`], [`conditions`], [`range`].

pub mod method;

pub mod status;

pub mod limits;

pub mod refusal;

pub(crate) mod grammar;

pub mod target;

pub mod framing;

pub mod head;

pub mod request;

pub mod shutdown;

pub(crate) mod buffer_budget;

pub mod network;

pub(crate) mod eviction;

pub mod server_state;

pub mod buffered;

mod disconnect;

pub mod chunked;

pub(crate) mod content_buffer;

pub mod content;

pub mod date;

pub mod stream;

pub mod file;

pub mod body;

pub mod response;

pub(crate) mod response_head;

pub(crate) mod send;

pub(crate) mod lazy_timer;

pub mod connection;

pub mod cookie;

pub mod conditions;

pub mod range;

use std::net::SocketAddr;

use crate::http::content::Incoming;
use crate::http::request::Request;
use crate::http::response::Response;

/// The application behind a connection: a function from requests to responses, like tower's
/// `Service`. A connection calls it for one request at a time.
pub trait Service: Send + Sync + 'static {
    /// Returns the response to a request from the client at `peer`. Content may not have
    /// arrived yet; it is read from the socket only when this calls [`Incoming::read`].
    fn respond<'a>(
        &'a self,
        request: Request,
        peer: SocketAddr,
        incoming: &'a mut dyn Incoming,
    ) -> impl Future<Output = Response> + Send + 'a;
}
