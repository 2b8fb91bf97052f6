//! The real client IP behind reverse proxies: `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! Any client can send these fields, so they count only if the connection comes from one of the
//! `trusted_proxies`. Each proxy appends the address that it has seen, to the line or in a line
//! of its own, so the list is reliable only from its end: read from right to left, the first
//! address that is not a trusted proxy is the client. All addresses left of it may be forged.
//! If all are trusted, the client is the leftmost, a machine in a trusted network.
//!
//! ```text
//! X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.2      socket: 10.0.0.1
//!                  forged   client       trusted proxy         trusted proxy
//! ```
//!
//! `X-Forwarded-Proto` is believed at the same position. Entry n from the right of both fields
//! comes from the n-th proxy, so that the entry beside the client's address comes from the
//! outermost trusted proxy, which is the one that the client's connection reaches:
//!
//! ```text
//! X-Forwarded-Proto: https,   https,       http
//!                    forged   outer proxy  inner proxy, which was reached by plain http
//! ```
//! Most proxies replace this field (nginx: `$scheme`) or leave it alone, so the list is often
//! shorter than the chain of proxies. Then its leftmost entry counts. An inner proxy that
//! replaces `https` by its own `http` hides that the client uses https; it must pass the field
//! on. The outermost proxy should replace the field: if it appends and the inner ones do not,
//! a client can claim https, for its own request.

use std::net::{IpAddr, SocketAddr};

use crate::http::network::Network;
use crate::http::request::Request;

/// Returns the client's address, and `true` if the client uses https. `proxies` are the trusted
/// ones.
pub(crate) fn client_address(
    request: &Request,
    peer: IpAddr,
    proxies: &[Network],
) -> (IpAddr, bool) {
    let is_proxy = |hop: IpAddr| proxies.iter().any(|network| network.contains(hop));
    // A dual-stack socket shows IPv4 peers as IPv4-mapped IPv6 addresses (RFC 4291 section
    // 2.5.5.2).
    let (mut client, mut position) = (peer.to_canonical(), 0);
    if !is_proxy(client) {
        return (client, false);
    }
    for hop in entries(request, "X-Forwarded-For").map_while(hop_address) {
        (client, position) = (hop, position + 1);
        if !is_proxy(hop) {
            break;
        }
    }
    let protocol = entries(request, "X-Forwarded-Proto").take(position.max(1)).last();
    (client, protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case("https")))
}

/// Returns the elements of a list field, from the last one to the first.
fn entries<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines: Vec<&[u8]> = request.field_values(name).collect();
    // A line that is not UTF-8 becomes an empty element, which is not an address.
    let text = |line| std::str::from_utf8(line).unwrap_or_default();
    lines.into_iter().rev().flat_map(move |line| text(line).rsplit(',')).map(str::trim)
}

/// Parses an entry of `X-Forwarded-For`: `203.0.113.7`, `203.0.113.7:4711`, `2001:db8::1`,
/// `[2001:db8::1]`, `[2001:db8::1]:4711`. Azure, for example, adds the port.
fn hop_address(entry: &str) -> Option<IpAddr> {
    let bracketed = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match entry.parse::<SocketAddr>() {
        Ok(address) => address.ip(),
        Err(_) => bracketed.unwrap_or(entry).parse().ok()?,
    };
    Some(address.to_canonical())
}
