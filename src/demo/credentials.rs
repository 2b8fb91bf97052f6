//! The password check of the demo, and its rate limits against online guessing.
//!
//! Limits in wrong guesses per minute (fixed windows, see [`Throttle`]):
//!
//! ```text
//!                   IPv4 address    IPv6 /64    IPv6 /56    IPv6 /48    all clients
//! one user name                5           5           -           -            100
//! all user names              30          30          60         120              -
//! ```
//! Above a limit: 429 with `Retry-After`. One IPv6 client usually controls a /64 and can have a
//! whole /48, so limits per address would not slow it down.
//!
//! The limit of 100 stops distributed guessing. An attacker with many networks can use it to
//! lock the owner of a name out for a minute (denial of service by account lockout); unlimited
//! guessing would be worse.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use dustdevil::crypto::SecretHash;
use dustdevil::{Exchange, HttpError, Result, Status, Throttle};
use log::warn;

/// Maximum number of characters of a user name in the log. The form accepts longer ones.
const MAX_LOGGED_CHARS: usize = 64;

/// User name and password of the demo's only user.
pub(crate) struct Credentials {
    username: SecretHash,
    password: SecretHash,
}

impl Credentials {
    pub(crate) fn new(username: &str, password: &str) -> Credentials {
        Credentials {
            username: SecretHash::new(username),
            password: SecretHash::new(password),
        }
    }

    /// Returns `true` if both are right. Compares both even if the name is wrong: a shorter
    /// response time would reveal which names exist (user enumeration by a timing attack).
    pub(crate) fn matches(&self, username: &str, password: &str) -> bool {
        let same_name = self.username.matches(username);
        let same_password = self.password.matches(password);
        same_name && same_password
    }
}

/// Returns `true` if the user name and the password are right; 429 above a rate limit, even if
/// they are right.
///
/// The attempt is counted before the comparison and taken back if it succeeds. Counting after
/// it would let concurrent guesses pass the limit together, before the first one is counted.
pub(crate) fn authenticate(
    exchange: &Exchange,
    username: &str,
    password: &str,
) -> Result<bool> {
    let throttle = exchange.state::<LoginThrottle>()?;
    let networks = networks(exchange.remote_ip());
    throttle
        .attempt(&networks, username)
        .inspect_err(|_| report(exchange, "excess_rate_limit_exceeded", username))?;
    let is_right = exchange.state::<Credentials>()?.matches(username, password);
    match is_right {
        true => throttle.refund(&networks, username),
        false => report(exchange, "authn_login_fail", username),
    }
    Ok(is_right)
}

/// Writes a line of the security log, with an event name of OWASP's logging vocabulary. The
/// name comes from the client: it is cut, and `{:?}` escapes quotes and control characters (log
/// injection, CWE-117).
fn report(exchange: &Exchange, event: &str, username: &str) {
    let user: String = username.chars().take(MAX_LOGGED_CHARS).collect();
    let ip = exchange.remote_ip();
    warn!(target: "dustdevil::security", "{event} user={user:?} ip={ip}");
}

/// The rate limits of logins, as in the table at the top of this file.
pub(crate) struct LoginThrottle {
    /// Keys: the smallest network of a client, and a user name.
    user_in_network: Throttle,
    /// Keys: the networks of a client, each size in a throttle of its own.
    network: [Throttle; NETWORKS],
    /// Keys: a user name.
    user: Throttle,
}

/// Maximum number of networks of one client: an IPv4 address is one, an IPv6 address is in a
/// /64, a /56 and a /48.
const NETWORKS: usize = 3;
const PREFIXES: [u32; NETWORKS] = [64, 56, 48];
const GUESSES: [u32; NETWORKS] = [30, 60, 120];

impl LoginThrottle {
    pub(crate) fn new() -> LoginThrottle {
        let minute = Duration::from_secs(60);
        LoginThrottle {
            user_in_network: Throttle::new(5, minute),
            network: GUESSES.map(|guesses| Throttle::new(guesses, minute)),
            user: Throttle::new(100, minute),
        }
    }

    /// Counts an attempt; 429 if a limit is reached.
    fn attempt(&self, networks: &[IpAddr], username: &str) -> Result {
        self.count(networks, username).map_err(|wait| {
            let message = "Too many attempts to log in. Please wait a little.";
            let seconds = (wait.as_secs() + 1).to_string();
            let status = Status::TOO_MANY_REQUESTS;
            HttpError::new(status, message).with_header("Retry-After", seconds).into()
        })
    }

    /// Counts an attempt at all limits, or at none: if one is reached, the counts made before
    /// it are taken back. Otherwise rejected attempts at one name would use up the network's
    /// limit for all names. The error is the time until the next attempt is allowed.
    fn count(&self, networks: &[IpAddr], username: &str) -> Result<(), Duration> {
        for (number, (throttle, network)) in self.network.iter().zip(networks).enumerate() {
            throttle
                .attempt(network)
                .inspect_err(|_| self.refund_networks(&networks[..number]))?;
        }
        self.user_in_network
            .attempt(&(networks[0], username))
            .inspect_err(|_| self.refund_networks(networks))?;
        self.user.attempt(username).inspect_err(|_| {
            self.user_in_network.refund(&(networks[0], username));
            self.refund_networks(networks);
        })
    }

    fn refund_networks(&self, networks: &[IpAddr]) {
        for (throttle, network) in self.network.iter().zip(networks) {
            throttle.refund(network);
        }
    }

    /// Takes the attempt of a successful login back. The user's earlier typing errors from this
    /// network are cleared; guesses from other networks still count, so that logins of the
    /// owner do not reset the limit for a distributed attack.
    fn refund(&self, networks: &[IpAddr], username: &str) {
        self.refund_networks(networks);
        self.user_in_network.reset(&(networks[0], username));
        self.user.refund(username);
    }
}

/// Returns the networks that an address is in, the smallest first.
fn networks(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(_) => vec![address],
        IpAddr::V6(address) => {
            let network = |prefix| address.to_bits() & u128::MAX << (128 - prefix);
            PREFIXES.map(|prefix| Ipv6Addr::from_bits(network(prefix)).into()).into()
        }
    }
}
