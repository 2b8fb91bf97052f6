//! The address of a server that is attacked: on loopback, and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A server on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The value of the Host field.
    pub(crate) authority: String,
}

impl Target {
    /// Parses `http://127.0.0.1:8888`. Another host is refused: attacks on servers of other people
    /// are a crime in most countries, and an attack on a server in use is unkind everywhere.
    pub(crate) fn parse(url: &str) -> Result<Target, String> {
        let refused =
            || format!("{url} is not http://127.0.0.1:PORT; only loopback is attacked");
        let authority = url.strip_prefix("http://").ok_or_else(refused)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, "80"),
        };
        let ip = match host.trim_start_matches('[').trim_end_matches(']') {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| refused())?,
        };
        let port = port.parse().map_err(|_| refused())?;
        match ip.is_loopback() {
            true => Ok(Target {
                address: SocketAddr::from((ip, port)),
                authority: authority.to_owned(),
            }),
            false => Err(refused()),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }
}
