//! Addresses and errors of Redis servers: a [`Client`] from a URL or from a redirection,
//! and what an error means for the connection and for the log.

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError,
    ServerErrorKind,
};
#[cfg(feature = "redis-tls")]
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::session::error::Error;

/// Creates a client for a URL, without connecting. `ca_certificates` are in PEM format;
/// empty selects those of the operating system.
pub(super) fn client(url: &str, ca_certificates: &[u8]) -> Result<Client, Error> {
    let info = url.into_connection_info().map_err(|error| {
        let reason = reason(&error);
        config_error(format!(
            "the URL of a Redis, which is like redis://host:6379/, is wrong: {reason}"
        ))
    })?;
    // `TCP_NODELAY` disables Nagle's algorithm, which would hold back a small request until
    // Redis has acknowledged the previous one.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    client_from_info(info, ca_certificates)
}

#[cfg(not(feature = "redis-tls"))]
fn client_from_info(info: ConnectionInfo, _: &[u8]) -> Result<Client, Error> {
    Client::open(info).map_err(|error| config_error(reason(&error)))
}

#[cfg(feature = "redis-tls")]
fn client_from_info(info: ConnectionInfo, ca_certificates: &[u8]) -> Result<Client, Error> {
    // rustls needs a crypto provider for the process. This fails, and changes nothing, if
    // the application has installed one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    let client = match ca_certificates.is_empty() || !is_tls {
        true => Client::open(info),
        false => Client::build_with_tls(info, root_certificates(ca_certificates)?),
    };
    client.map_err(|error| config_error(reason(&error)))
}

/// Checks that the text contains a certificate. The redis crate would accept a text without
/// any as an empty list, and every connection would fail later.
#[cfg(feature = "redis-tls")]
fn root_certificates(ca_certificates: &[u8]) -> Result<redis::TlsCertificates, Error> {
    match CertificateDer::pem_slice_iter(ca_certificates).next() {
        Some(Ok(_)) => {
            let root_cert = Some(ca_certificates.to_vec());
            Ok(redis::TlsCertificates { client_tls: None, root_cert })
        }
        _ => Err(config_error("the certificates for Redis are no certificates in PEM")),
    }
}

fn config_error(message: impl Into<String>) -> Error {
    Error::Config(message.into())
}

/// Returns host and port for messages, without the credentials of the URL.
pub(super) fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

/// Returns the node that has the keys, if the error is a redirection of a Redis Cluster:
/// `MOVED 219 10.0.0.7:6379` names the slot and the node that serves it. The redirecting
/// node has not executed the request. Credentials and TLS settings are taken from
/// `redirecting`, because all nodes of a cluster share them.
pub(super) fn moved_to(redirecting: &Client, error: &RedisError) -> Option<Client> {
    if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
        return None;
    }
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    let info = redirecting.get_connection_info().clone();
    let mut address = info.addr().clone();
    match &mut address {
        ConnectionAddr::Tcp(old, old_port)
        | ConnectionAddr::TcpTls { host: old, port: old_port, .. } => {
            *old_port = port.parse().ok()?;
            // An empty host means the host of the redirecting node; `?` means that the node
            // does not know its own host name. In both cases only the port changes.
            if !matches!(host, "" | "?") {
                host.clone_into(old);
            }
        }
        _ => return None,
    }
    Client::open(info.set_addr(address)).ok()
}

/// Returns `true` if the node cannot serve requests now, but another node, or the same one
/// later, may: it is a replica (`READONLY`, `MASTERDOWN`), its cluster is down
/// (`CLUSTERDOWN`), or the connection must be made again, for example after a reply that is
/// not Redis protocol.
pub(super) fn is_failover_error(error: &RedisError) -> bool {
    let server = [
        ServerErrorKind::ReadOnly,
        ServerErrorKind::MasterDown,
        ServerErrorKind::ClusterDown,
    ];
    error.is_unrecoverable_error()
        || server.into_iter().any(|kind| error.kind() == ErrorKind::Server(kind))
}

/// Describes an error for the log. Leaves out everything that the client has sent, because
/// a log must not contain session values, session keys or passwords.
pub(super) fn reason(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Io => error.to_string(),
        ErrorKind::AuthenticationFailed => {
            String::from("it refuses the username or the password")
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            String::from("unexpected reply")
        }
        ErrorKind::InvalidClientConfig => {
            // The part after the separator repeats a part of the URL, which may be the
            // password.
            error.to_string().split(" - ").next().unwrap_or_default().to_owned()
        }
        _ => {
            let code = error.code().unwrap_or(error.category());
            // Redis repeats the arguments of a command that it does not know.
            let detail =
                error.detail().and_then(|detail| detail.split(", with args").next());
            detail.map_or(code.to_owned(), |detail| format!("{code} {detail}"))
        }
    }
}
