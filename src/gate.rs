//! The demo's gate: who may log in, and how often they may try.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use dustdevil::token::Hashed;
use dustdevil::{Exchange, HttpError, Result, Status, Throttle};

/// The one who may log in.
pub(crate) struct Credentials {
    username: Hashed,
    password: Hashed,
}

impl Credentials {
    pub(crate) fn new(username: &str, password: &str) -> Credentials {
        Credentials { username: Hashed::new(username), password: Hashed::new(password) }
    }

    /// Always compares both: how long it takes tells nobody which of them was wrong.
    pub(crate) fn are(&self, username: &str, password: &str) -> bool {
        let same_name = self.username.is(username);
        let same_password = self.password.is(password);
        same_name && same_password
    }
}

/// Whether a name and a password are right; 429 if there were too many guesses.
pub(crate) fn check(exchange: &Exchange, username: &str, password: &str) -> Result<bool> {
    let throttle = exchange.state::<LoginThrottle>()?;
    let network = network(exchange.remote_ip());
    throttle.attempt(network, username)?;
    let right = exchange.state::<Credentials>()?.are(username, password);
    if right {
        throttle.forgive(network, username);
    }
    Ok(right)
}

/// Five wrong guesses a minute at one name, and thirty at all names, from one address.
pub(crate) struct LoginThrottle {
    at_one_name: Throttle,
    at_all_names: Throttle,
}

impl LoginThrottle {
    pub(crate) fn new() -> LoginThrottle {
        let minute = Duration::from_secs(60);
        LoginThrottle {
            at_one_name: Throttle::new(5, minute),
            at_all_names: Throttle::new(30, minute),
        }
    }

    /// Counts an attempt; 429 if it is one too many.
    fn attempt(&self, network: IpAddr, username: &str) -> Result {
        let counted = self.at_all_names.attempt(&network).and_then(|()| {
            // What is refused for its name is no guess that counts for the network.
            self.at_one_name
                .attempt(&(network, username))
                .inspect_err(|_| self.at_all_names.forgive(&network))
        });
        counted.map_err(|wait| {
            let sentence = "Too many attempts to log in. Please wait a little.";
            let seconds = (wait.as_secs() + 1).to_string();
            let status = Status::TOO_MANY_REQUESTS;
            HttpError::new(status, sentence).with_header("Retry-After", seconds).into()
        })
    }

    /// Only wrong guesses count; at a name, only those since the last right one.
    fn forgive(&self, network: IpAddr, username: &str) {
        self.at_all_names.forgive(&network);
        self.at_one_name.forget(&(network, username));
    }
}

/// Where a client is. In version 6 it has not one address but a /64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
    }
}
