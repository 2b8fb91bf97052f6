//! The listening socket, and the options that its connections have.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use log::info;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};

use crate::web::settings::Settings;

/// Bytes that wait in the system for a client to take them. Where they are few, it is seen that
/// a slow client takes some; of the megabytes that Linux would have waiting, it says so only
/// when a third has gone. Connections inherit it from their listener.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Probes without an acknowledgement that end a connection.
const KEEPALIVE_PROBES: u32 = 3;

/// The longest time that Linux takes for one of them.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Connections that wait to be accepted, at most. The system may have a lower limit.
pub(crate) const BACKLOG: u32 = 4096;

/// What `TcpListener::bind` does, with a longer queue: its own is so short that a burst of clients
/// overflows it, and the system tells some of them nothing, and others to go away.
pub(crate) fn listen_on(
    address: SocketAddr,
    settings: &Settings,
) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // So that a server may start again at once. Windows takes this to mean something else.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(&socket).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        info!("no TCP_NOTSENT_LOWAT, so slow readers may be dropped: {error}");
    }
    #[cfg(target_os = "linux")]
    set_options(&SockRef::from(&socket), settings);
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets the options of a connection. On Linux it inherits them from its listener, without a system
/// call of its own. A server can do without each.
pub(crate) fn set_options(socket: &SockRef<'_>, settings: &Settings) {
    let missing = |name: &str, error: io::Error| info!("no {name}: {error}");
    // Responses are written whole, so there is nothing that waiting for more would save.
    socket.set_tcp_nodelay(true).unwrap_or_else(|error| missing("TCP_NODELAY", error));
    let time = settings.tcp_keepalive;
    if time.is_zero() {
        return;
    }
    let in_range = |time: Duration| time.clamp(Duration::from_secs(1), MAX_KEEPALIVE);
    let keepalive = TcpKeepalive::new()
        .with_time(in_range(time / 2))
        .with_interval(in_range(time / 2 / KEEPALIVE_PROBES))
        .with_retries(KEEPALIVE_PROBES);
    socket
        .set_tcp_keepalive(&keepalive)
        .unwrap_or_else(|error| missing("SO_KEEPALIVE", error));
    // Keepalive probes only a connection that has nothing to deliver. Where the client vanished
    // with something on its way to it, this ends the attempts to deliver that. A client that reads
    // nothing has no less time for it than a write has.
    #[cfg(target_os = "linux")]
    socket
        .set_tcp_user_timeout(Some(in_range(time.max(settings.limits.write_timeout))))
        .unwrap_or_else(|error| missing("TCP_USER_TIMEOUT", error));
}
