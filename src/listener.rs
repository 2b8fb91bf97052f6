//! The listening socket, and the TCP options of its connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use log::{info, warn};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket};

use crate::web::settings::Settings;

/// Unsent bytes that the kernel may queue per connection (`TCP_NOTSENT_LOWAT`, tcp(7)). With a
/// small limit the socket becomes writable as soon as a slow client reads a little. Linux's
/// default send buffer holds megabytes and reports writable only when a third of it is free, so
/// a slow client would look stalled and run into `write_timeout`.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Number of unacknowledged keepalive probes after which a connection is dead.
const KEEPALIVE_PROBES: u32 = 3;

/// Linux's upper bound of the keepalive times.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// Maximum length of the accept backlog (listen(2)): connections that the kernel has completed
/// and the server has not accepted. Linux lowers it to `net.core.somaxconn`.
pub(crate) const BACKLOG: u32 = 4096;

/// Binds a listening socket. `TcpListener::bind` would do the same with a backlog of 128, which
/// a burst of clients overflows: the kernel then drops some connection attempts without a word
/// and answers others with RST.
pub(crate) fn listen(address: SocketAddr, settings: &Settings) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restarted server can bind its port while old connections are in TIME_WAIT. On Windows
    // the option means something else: it allows a second server on the same port.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    #[cfg(target_os = "linux")]
    if let Err(error) = SockRef::from(&socket).set_tcp_notsent_lowat(NOTSENT_LOWAT) {
        info!("no TCP_NOTSENT_LOWAT, so slow readers may be dropped: {error}");
    }
    #[cfg(target_os = "linux")]
    set_options(&SockRef::from(&socket), settings);
    socket.bind(address)?;
    if settings.debug && !address.ip().is_loopback() {
        let shown = "error pages show every client what only the log should have";
        warn!(target: "dustdevil::server", "debug is on, and {address} is not loopback: {shown}");
    }
    socket.listen(BACKLOG)
}

/// Sets the TCP options of a connection. On Linux, connections inherit them from the listening
/// socket, which saves system calls per connection. The server works without any of them, so an
/// error is only logged.
pub(crate) fn set_options(socket: &SockRef<'_>, settings: &Settings) {
    let missing = |name: &str, error: io::Error| info!("no {name}: {error}");
    // Turns off Nagle's algorithm, which delays small segments in the hope of more data. Each
    // response is written whole, so there is nothing to wait for.
    socket.set_tcp_nodelay(true).unwrap_or_else(|error| missing("TCP_NODELAY", error));
    let time = settings.tcp_keepalive;
    if time.is_zero() {
        return;
    }
    let in_range = |time: Duration| time.clamp(Duration::from_secs(1), MAX_KEEPALIVE);
    // Half of the time without traffic, then the probes in the other half.
    let keepalive = TcpKeepalive::new()
        .with_time(in_range(time / 2))
        .with_interval(in_range(time / 2 / KEEPALIVE_PROBES))
        .with_retries(KEEPALIVE_PROBES);
    socket
        .set_tcp_keepalive(&keepalive)
        .unwrap_or_else(|error| missing("SO_KEEPALIVE", error));
    // Keepalive probes only a connection without unacknowledged data. If the client disappears
    // while data is in flight to it, this timeout ends the retransmissions. It is not shorter
    // than `write_timeout`, because a client that reads nothing is also subject to it.
    #[cfg(target_os = "linux")]
    socket
        .set_tcp_user_timeout(Some(in_range(time.max(settings.limits.write_timeout))))
        .unwrap_or_else(|error| missing("TCP_USER_TIMEOUT", error));
}
