//! HTTP/1.1 as RFC 9110 (what messages mean) and RFC 9112 (how they look on the wire) have it.
//!
//! This wing turns a socket into requests and responses into bytes. It knows nothing of
//! handlers, templates or sessions: what answers a request is whatever implements [`Service`].
//!
//! In reading order: the words of the protocol ([`method`], [`version`], [`status`], [`limits`],
//! [`refusal`], `bytes`); the way in ([`target`], [`framing`], [`head`], [`request`]); what all
//! connections share ([`shutdown`], `buffer_budget`, `eviction`, [`server_state`]); the socket and
//! its buffers ([`buffered`]), and reading content from it ([`chunked`], `content_buffer`, [`content`]);
//! the way out ([`date`], [`stream`], `at_hand`, [`file`](mod@file), [`body`], [`response`], `send`); the
//! two joined ([`connection`]); and what some requests ask for besides ([`cookie`],
//! [`conditions`], [`range`]).

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

/// Whatever answers requests. A connection asks it one request at a time.
pub trait Service: Send + Sync + 'static {
    /// Answers the `request` that came from `peer`. Its content, if it has any, is still on
    /// the wire, and is read only if `incoming` is asked for it.
    fn respond<'a>(
        &'a self,
        request: Request,
        peer: SocketAddr,
        incoming: &'a mut dyn Incoming,
    ) -> impl Future<Output = Response> + Send + 'a;
}
