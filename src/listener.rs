//! The listening socket, and the options that its connections have.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use log::info;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};

/// Octets that wait in the system for a client to take them. Where they are few, it is seen that
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
    tcp_keepalive: Duration,
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
    set_options(&SockRef::from(&socket), tcp_keepalive)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The options of a connection. On Linux it inherits them from its listener, without a system call
/// of its own.
pub(crate) fn set_options(socket: &SockRef<'_>, tcp_keepalive: Duration) -> io::Result<()> {
    // Responses are written whole, so there is nothing that waiting for more would save.
    socket.set_tcp_nodelay(true)?;
    if tcp_keepalive.is_zero() {
        return Ok(());
    }
    let in_range = |time: Duration| time.clamp(Duration::from_secs(1), MAX_KEEPALIVE);
    let keepalive = TcpKeepalive::new()
        .with_time(in_range(tcp_keepalive / 2))
        .with_interval(in_range(tcp_keepalive / 2 / KEEPALIVE_PROBES))
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    // Keepalive probes only a connection that has nothing to deliver. Where the client vanished
    // with something on its way to it, this ends the attempts to deliver that.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(in_range(tcp_keepalive)))?;
    Ok(())
}
