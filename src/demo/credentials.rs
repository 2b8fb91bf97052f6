//! The demo's gate: who may log in, and how often they may try.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use dustdevil::crypto::SecretHash;
use dustdevil::{Exchange, HttpError, Result, Status, Throttle};

/// The one who may log in.
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

    /// Always compares both: how long it takes tells nobody which of them was wrong.
    pub(crate) fn matches(&self, username: &str, password: &str) -> bool {
        let same_name = self.username.matches(username);
        let same_password = self.password.matches(password);
        same_name && same_password
    }
}

/// Whether a name and a password are right; 429 if there were too many guesses.
pub(crate) fn authenticate(
    exchange: &Exchange,
    username: &str,
    password: &str,
) -> Result<bool> {
    let throttle = exchange.state::<LoginThrottle>()?;
    let networks = networks(exchange.remote_ip());
    throttle.attempt(&networks, username)?;
    let right = exchange.state::<Credentials>()?.matches(username, password);
    if right {
        throttle.forgive(&networks, username);
    }
    Ok(right)
}

/// Wrong guesses a minute: five at one name from one network, and thirty at all names; more from the
/// larger networks that it is part of, which one client may have all of; and a hundred at one name
/// from everywhere. The last lets somebody with many networks keep the owner of a name out for a
/// while, which is better than to let them guess.
pub(crate) struct LoginThrottle {
    at_one_name: Throttle,
    at_all_names: [Throttle; NETWORKS],
    from_everywhere: Throttle,
}

/// Networks that a client is in: an IPv4 address; or a /64, a /56 and a /48 of IPv6.
const NETWORKS: usize = 3;
const PREFIXES: [u32; NETWORKS] = [64, 56, 48];
const GUESSES: [u32; NETWORKS] = [30, 60, 120];

impl LoginThrottle {
    pub(crate) fn new() -> LoginThrottle {
        let minute = Duration::from_secs(60);
        LoginThrottle {
            at_one_name: Throttle::new(5, minute),
            at_all_names: GUESSES.map(|guesses| Throttle::new(guesses, minute)),
            from_everywhere: Throttle::new(100, minute),
        }
    }

    /// Counts an attempt; 429 if it is one too many.
    fn attempt(&self, networks: &[IpAddr], username: &str) -> Result {
        self.count(networks, username).map_err(|wait| {
            let message = "Too many attempts to log in. Please wait a little.";
            let seconds = (wait.as_secs() + 1).to_string();
            let status = Status::TOO_MANY_REQUESTS;
            HttpError::new(status, message).with_header("Retry-After", seconds).into()
        })
    }

    /// What is refused for one reason is no guess that counts for another, so what was counted before
    /// is taken back.
    fn count(&self, networks: &[IpAddr], username: &str) -> Result<(), Duration> {
        for (number, (throttle, network)) in
            self.at_all_names.iter().zip(networks).enumerate()
        {
            throttle
                .attempt(network)
                .inspect_err(|_| self.take_back(&networks[..number]))?;
        }
        self.at_one_name
            .attempt(&(networks[0], username))
            .inspect_err(|_| self.take_back(networks))?;
        self.from_everywhere.attempt(username).inspect_err(|_| {
            self.at_one_name.refund(&(networks[0], username));
            self.take_back(networks);
        })
    }

    fn take_back(&self, networks: &[IpAddr]) {
        for (throttle, network) in self.at_all_names.iter().zip(networks) {
            throttle.refund(network);
        }
    }

    /// Only wrong guesses count; at a name, only those since the last right one.
    fn forgive(&self, networks: &[IpAddr], username: &str) {
        self.take_back(networks);
        self.at_one_name.reset(&(networks[0], username));
        self.from_everywhere.refund(username);
    }
}

/// Where a client is: the smallest network that it is in, and those around it.
fn networks(address: IpAddr) -> Vec<IpAddr> {
    match address {
        IpAddr::V4(_) => vec![address],
        IpAddr::V6(address) => {
            let network = |prefix| address.to_bits() & u128::MAX << (128 - prefix);
            PREFIXES.map(|prefix| Ipv6Addr::from_bits(network(prefix)).into()).into()
        }
    }
}
