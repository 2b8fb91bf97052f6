//! A Redis as it is named by a URL, and as it is named by another of its cluster; and what it says
//! when something is wrong.

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    ServerErrorKind,
};
#[cfg(feature = "redis-tls")]
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::session::error::Error;

/// What it takes to connect to a Redis. `certificates` are in PEM, and empty for those of the system.
pub(super) fn client(url: &str, certificates: &[u8]) -> Result<Client, Error> {
    let info = url.into_connection_info().map_err(|error| {
        let reason = reason(&error);
        setup(format!(
            "the URL of a Redis, which is like redis://host:6379/, is wrong: {reason}"
        ))
    })?;
    // Many small questions are asked at once, and none is to wait for another's answer.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    client_of(info, certificates)
}

#[cfg(not(feature = "redis-tls"))]
fn client_of(info: ConnectionInfo, _: &[u8]) -> Result<Client, Error> {
    Client::open(info).map_err(|error| setup(reason(&error)))
}

#[cfg(feature = "redis-tls")]
fn client_of(info: ConnectionInfo, certificates: &[u8]) -> Result<Client, Error> {
    // What TLS is computed with. Whoever chose another before has their reasons.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let client = match certificates.is_empty() || !is_tls {
        true => Client::open(info),
        false => Client::build_with_tls(info, trusted(certificates)?),
    };
    client.map_err(|error| setup(reason(&error)))
}

/// Text in which there is no certificate at all would be taken for an empty list.
#[cfg(feature = "redis-tls")]
fn trusted(certificates: &[u8]) -> Result<redis::TlsCertificates, Error> {
    match CertificateDer::pem_slice_iter(certificates).next() {
        Some(Ok(_)) => {
            let root_cert = Some(certificates.to_vec());
            Ok(redis::TlsCertificates { client_tls: None, root_cert })
        }
        _ => Err(setup("the certificates for Redis are no certificates in PEM")),
    }
}

fn setup(message: impl Into<String>) -> Error {
    Error::Config(message.into())
}

/// Where a Redis is, for messages: a host and a port, and no password.
pub(super) fn ip(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// The node of the cluster that has our keys, if that is what a node says when it is asked for them:
/// `ROTATION_GRACE 219 10.0.0.7:6379`. It has done nothing then.
pub(super) fn moved_to(asked: &Client, error: &RedisError) -> Option<Client> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return None;
    }
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let info = asked.get_connection_info().clone();
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(old, old_port)
        | ConnectionAddr::TcpTls { host: old, port: old_port, .. } => {
            *old_port = port.parse().ok()?;
            // Without a name it is the same host, or one that is nowhere known by name.
            if !matches!(host, "" | "?") {
                host.clone_into(old);
            }
        }
        _ => return None,
    }
    Client::open(info.set_addr(address)).ok()
}

/// Whether another node, or the same one in a while, may do better: this one is no primary any more,
/// or speaks of something else.
pub(super) fn is_out_of_order(error: &RedisError) -> bool {
    let server = [
        ServerErrorKind::ReadOnly,
        ServerErrorKind::MasterDown,
        ServerErrorKind::ClusterDown,
    ];
    error.is_unrecoverable_error()
        || server.into_iter().any(|kind| error.kind() == ErrorKind::Server(kind))
}

/// What went wrong, without anything of what was sent: that is nobody's business in a log.
pub(super) fn reason(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => error.to_string(),
        ErrorKind::AuthenticationFailed => {
            String::from("it refuses the username or the password")
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            String::from("its answer is none that was expected")
        }
        ErrorKind::InvalidClientConfig => {
            // What comes behind repeats a part of the URL.
            error.to_string().split(" - ").next().unwrap_or_default().to_owned()
        }
        _ => {
            let code = error.code().unwrap_or(error.category());
            // Of an unknown command it repeats the arguments.
            let detail =
                error.detail().and_then(|detail| detail.split(", with args").next());
            detail.map_or(code.to_owned(), |detail| format!("{code} {detail}"))
        }
    }
}
