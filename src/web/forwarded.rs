//! Where a request comes from, when proxies stand between us and the client.

use std::net::IpAddr;

use crate::http::request::Request;

/// The client's address, and whether it came over https. Anybody can write
/// `X-Forwarded-For`, so it counts only where the last hop is a proxy of ours. Each proxy
/// adds a hop at the end, perhaps in a line of its own; the last one that is not ours is
/// the client.
pub(crate) fn whence(
    request: &Request,
    peer: IpAddr,
    proxies: &[IpAddr],
) -> (IpAddr, bool) {
    let is_ours = |hop: &IpAddr| proxies.iter().any(|proxy| proxy.to_canonical() == *hop);
    // A socket that takes both versions shows addresses of version 4 in those of version 6.
    let peer = peer.to_canonical();
    if !is_ours(&peer) {
        return (peer, false);
    }
    let lines: Vec<&str> = texts(request, "X-Forwarded-For").collect();
    let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
    let mut hops = hops.map_while(|hop| hop.trim().parse::<IpAddr>().ok());
    let client = hops.find_map(|hop| Some(hop.to_canonical()).filter(|hop| !is_ours(hop)));
    let protocol = texts(request, "X-Forwarded-Proto").last().unwrap_or_default();
    (client.unwrap_or(peer), protocol.eq_ignore_ascii_case("https"))
}

/// The lines of a field that are text.
fn texts<'a>(request: &'a Request, name: &'a str) -> impl Iterator<Item = &'a str> {
    request.field_values(name).filter_map(|value| std::str::from_utf8(value).ok())
}
