//! The demo's gate: who may log in, and how often they may try.

use std::net::IpAddr;
use std::time::Duration;

use dustdevil::{Exchange, HttpError, Result, Status, Throttle, token};

/// The one who may log in.
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Credentials {
    /// Always compares both: how long it takes tells nobody which of them was wrong.
    pub(crate) fn are(&self, username: &str, password: &str) -> bool {
        let same_name = token::same_secret(&self.username, username);
        let same_password = token::same_secret(&self.password, password);
        same_name && same_password
    }
}

/// Whether a name and a password are right; 429 if there were too many guesses.
pub(crate) fn check(exchange: &Exchange, username: &str, password: &str) -> Result<bool> {
    let throttle = exchange.state::<LoginThrottle>()?;
    let keys = Keys::of(exchange.remote_ip(), username);
    throttle.attempt(&keys)?;
    let right = exchange.state::<Credentials>()?.are(username, password);
    if right {
        throttle.forgive(&keys);
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
    fn attempt(&self, keys: &Keys) -> Result {
        let counted = self.at_all_names.attempt(&keys.address).and_then(|()| {
            // What is refused for its name is no guess that counts for the address.
            self.at_one_name
                .attempt(&keys.name)
                .inspect_err(|_| self.at_all_names.forgive(&keys.address))
        });
        counted.map_err(|wait| {
            let sentence = "Too many attempts to log in. Please wait a little.";
            let seconds = (wait.as_secs() + 1).to_string();
            let status = Status::TOO_MANY_REQUESTS;
            HttpError::new(status, sentence).with_header("Retry-After", seconds).into()
        })
    }

    /// Only wrong guesses count; at a name, only those since the last right one.
    fn forgive(&self, keys: &Keys) {
        self.at_all_names.forgive(&keys.address);
        self.at_one_name.forget(&keys.name);
    }
}

/// What attempts are counted by.
struct Keys {
    /// For all names.
    address: String,
    /// For one.
    name: String,
}

impl Keys {
    /// In version 6 a client has not one address but a /64 of them.
    fn of(address: IpAddr, username: &str) -> Keys {
        let address = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{:?}", &address.segments()[..4]),
        };
        let name = format!("{address} {username}");
        Keys { address, name }
    }
}
