//! The servers that Dustdevil is compared to. hyper, axum and actix serve the same pages as
//! Dustdevil's demo, written as the documentation of each shows it, on its default runtime.
//! axum and actix have a second server each, with its sessions in Redis.
//!
//! The [`baseline`] is not an HTTP server, but a lower bound for the CPU time of one.

mod actix;
mod axum;
mod baseline;
mod hyper;
mod pages;
mod redis_actix;
mod redis_axum;

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::Result;
use crate::fill::user;

/// Runs the peer with this name; called in the child process.
pub(crate) fn serve(kind: &str, arguments: &[&str]) -> Result {
    match (kind, arguments) {
        ("baseline", [length, response, depth]) => {
            baseline::serve(length.parse()?, response.parse()?, depth.parse()?)
        }
        ("hyper", []) => hyper::serve(),
        ("axum", []) => axum::serve(),
        ("actix", []) => actix::serve(),
        ("redis-axum", [redis]) => redis_axum::serve(redis),
        ("redis-actix", [redis]) => redis_actix::serve(redis),
        _ => Err("there is no such server".into()),
    }
}

/// Prints the server's address for the driver, and ends the process when standard input ends:
/// the driver holds the other end of that pipe, so no server outlives the driver, also if it
/// crashes.
fn announce_address(address: SocketAddr) {
    println!("{address}");
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// A session of hyper's and actix's server; axum's are in the store of tower-sessions.
struct Session {
    username: String,
    visits: u64,
}

/// Sessions by id: a map behind one lock, without expiry and without a size limit, as an
/// application would begin. Dustdevil's store does more for each request than this.
#[derive(Default)]
struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a session and returns its id.
    fn create(&self, username: String) -> String {
        let id = format!("{:032x}", rand::random::<u128>());
        self.lock().insert(id.clone(), Session { username, visits: 0 });
        id
    }

    /// Returns the user name of the session with this id.
    fn username(&self, id: &str) -> Option<String> {
        self.lock().get(id).map(|session| session.username.clone())
    }

    /// Counts a visit of the main page, and returns the user name and the number of visits.
    fn visit(&self, id: &str) -> Option<(String, u64)> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(id)?;
        session.visits += 1;
        Some((session.username.clone(), session.visits))
    }

    /// Creates sessions with their numbers as ids.
    fn fill(&self, filling: &Fill) {
        for number in filling.from..filling.from + filling.count {
            let session = Session { username: user(number), visits: 0 };
            self.lock().insert(format!("{number:032x}"), session);
        }
    }
}

/// Sessions to create; a session's id is its number.
#[derive(Deserialize)]
struct Fill {
    from: u32,
    count: u32,
}

/// The query of a login in the part `redis`.
#[derive(Deserialize)]
struct UserQuery {
    user: String,
}

/// The content of the login form.
#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
    #[serde(rename = "_xsrf")]
    token: String,
}

impl Login {
    /// Returns `true` if the XSRF token of the form equals that of the cookie (a double-submit
    /// cookie, without the signature that Dustdevil's has).
    fn has_token(&self, cookie: Option<&str>) -> bool {
        cookie == Some(&self.token)
    }

    /// Returns `true` for the demo's default user name and password. Dustdevil compares them in
    /// constant time; a plain comparison is cheaper and leaks the length of a correct prefix.
    fn is_valid(&self) -> bool {
        self.username == "admin" && self.password == "123"
    }
}
