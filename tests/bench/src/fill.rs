//! The sessions that servers are filled with, and plain maps to compare their memory to.
//!
//! Session ids are consecutive numbers, so that a load generator can request any session
//! without a list of ids. Real ids are random, because a client that guesses an id takes over
//! its session. The store behaves the same with both: it keeps a session under the MD5 of its
//! id, which distributes consecutive numbers like random ones.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use dustdevil::session::USERNAME;
use dustdevil::session::id::{Id, Key};
use dustdevil::{Lifetime, MemoryStore, Result, Store};
use tokio::time::Instant;

/// Name of the only value of an anonymous session.
const ANONYMOUS: &str = "basket";

/// Returns the user name of the session with this number. All names have the same length.
pub(crate) fn user(number: u32) -> String {
    format!("user{number:08}")
}

/// Returns the store's key of the session with this number.
fn key(number: u32) -> Key {
    let id = Id::parse(&format!("{number:032x}"));
    id.expect("these are 32 hex digits").key()
}

/// Sessions to create.
pub(crate) struct Fill {
    pub(crate) numbers: Range<u32>,
    /// `true`: each session has a user. `false`: all are anonymous.
    pub(crate) logged_in: bool,
    /// Time from the start of filling until all the sessions expire, at the same instant.
    pub(crate) expire: Duration,
}

impl Fill {
    /// Creates the sessions through the `Store` trait, like a server.
    pub(crate) async fn fill(self, store: &MemoryStore) -> Result {
        let end = Instant::now() + self.expire;
        let ip = IpAddr::from(Ipv4Addr::LOCALHOST);
        let name = if self.logged_in { USERNAME } else { ANONYMOUS };
        for number in self.numbers {
            // The lifetime shrinks while sessions are created, so that all end together.
            let left = end.saturating_duration_since(Instant::now());
            let lifetime = Lifetime { idle: left, absolute: left };
            store.create(key(number), lifetime, ip, name, &user(number)).await?;
        }
        Ok(())
    }
}

/// Maps without the features of a store: no expiry, no size limit, no eviction order, and no
/// index of the sessions of a user.
pub(crate) enum PlainMap {
    /// Key to user name: the minimum.
    Names(HashMap<[u8; 16], Box<str>>),
    /// A map of maps, like `container` of the tutorial program.
    Maps(HashMap<[u8; 16], HashMap<String, String>>),
}

impl PlainMap {
    pub(crate) fn fill(&mut self, numbers: Range<u32>) {
        for number in numbers {
            let (key, user) = (*key(number).as_bytes(), user(number));
            match self {
                PlainMap::Names(names) => drop(names.insert(key, user.into())),
                PlainMap::Maps(maps) => {
                    drop(maps.insert(key, HashMap::from([(USERNAME.into(), user)])));
                }
            }
        }
    }
}

/// Keeps a processor busy for a while with MD5, which does not touch the store.
pub(crate) fn compute(time: Duration) {
    let began = Instant::now();
    for number in (0..).take_while(|_| began.elapsed() < time) {
        std::hint::black_box(key(number));
    }
}
