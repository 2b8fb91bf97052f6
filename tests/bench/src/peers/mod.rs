//! Servers that Dustdevil is compared to. Each answers what Dustdevil's demo answers, as its own
//! documentation would have one write it, with the runtime that it has by default.
//!
//! The [`limit`] is no server: nothing that answers can do less.

mod actix;
mod axum;
mod baseline;
mod hyper;
mod pages;

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::Result;
use crate::fill::user;

/// Serves as the peer of that name.
pub(crate) fn serve(kind: &str, arguments: &[&str]) -> Result {
    match (kind, arguments) {
        ("baseline", [length, answer, depth]) => {
            baseline::serve(length.parse()?, answer.parse()?, depth.parse()?)
        }
        ("hyper", []) => hyper::serve(),
        ("axum", []) => axum::serve(),
        ("actix", []) => actix::serve(),
        _ => Err("there is no such server".into()),
    }
}

/// Tells the driver where a server listens, and ends it when the driver lets go of the other end
/// of standard input.
fn is_ready(address: SocketAddr) {
    println!("{address}");
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// A session of those who keep them in a map of their own.
struct Session {
    username: String,
    visits: u64,
}

/// Sessions by their ids. Nothing expires in it, and it has no bound.
#[derive(Default)]
struct Sessions(Mutex<HashMap<String, Session>>);

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one; gives its id.
    fn begin(&self, username: String) -> String {
        let id = format!("{:032x}", rand::random::<u128>());
        self.lock().insert(id.clone(), Session { username, visits: 0 });
        id
    }

    /// Who is logged in with this id.
    fn username(&self, id: &str) -> Option<String> {
        self.lock().get(id).map(|session| session.username.clone())
    }

    /// The same, and how often they have come.
    fn visit(&self, id: &str) -> Option<(String, u64)> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(id)?;
        session.visits += 1;
        Some((session.username.clone(), session.visits))
    }

    fn fill(&self, filling: &Filling) {
        for number in filling.from..filling.from + filling.count {
            let session = Session { username: user(number), visits: 0 };
            self.lock().insert(format!("{number:032x}"), session);
        }
    }
}

/// Sessions that are to be created: their numbers, of which their ids are made.
#[derive(Deserialize)]
struct Filling {
    from: u32,
    count: u32,
}

/// What the login form sends.
#[derive(Deserialize)]
struct Login {
    username: String,
    password: String,
    #[serde(rename = "_xsrf")]
    token: String,
}

impl Login {
    fn has_token(&self, mark: Option<&str>) -> bool {
        mark == Some(&self.token)
    }

    fn is_right(&self) -> bool {
        self.username == "admin" && self.password == "123"
    }
}
