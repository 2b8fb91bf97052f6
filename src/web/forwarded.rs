//! The real client IP behind reverse proxies: `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! Any client can send these fields, so they count only if the connection comes from one of the
//! `trusted_proxies`. Each proxy appends the address that it has seen, to the line or in a line
//! of its own, so the list is reliable only from its end: read from right to left, the first
//! address that is not a trusted proxy is the client. All addresses left of it may be forged.
//!
//! ```text
//! X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.2      socket: 10.0.0.1
//!                  forged   client       trusted proxy         trusted proxy
//! ```

use std::net::IpAddr;

use crate::http::request::Request;

/// Returns the client's address, and `true` if the client uses https. `proxies` are the trusted
/// ones.
pub(crate) fn client_address(
    request: &Request,
    peer: IpAddr,
    proxies: &[IpAddr],
) -> (IpAddr, bool) {
    let is_proxy = |hop: &IpAddr| proxies.iter().any(|proxy| proxy.to_canonical() == *hop);
    // A dual-stack socket shows IPv4 peers as IPv4-mapped IPv6 addresses (RFC 4291 section
    // 2.5.5.2).
    let peer = peer.to_canonical();
    if !is_proxy(&peer) {
        return (peer, false);
    }
    let lines: Vec<&str> = text_values(request, "X-Forwarded-For").collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let mut hops = hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok());
    let client = hops.find_map(|hop| Some(hop.to_canonical()).filter(|hop| !is_proxy(hop)));
    let protocol = text_values(request, "X-Forwarded-Proto").last().unwrap_or_default();
    (client.unwrap_or(peer), protocol.eq_ignore_ascii_case("https"))
}

/// Returns the values of a field that are valid UTF-8.
fn text_values<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = &'a str> {
    request.field_values(name).filter_map(|value| std::str::from_utf8(value).ok())
}
