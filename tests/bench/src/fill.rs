//! What servers are filled with.
//!
//! Sessions have numbers here, and a session's id is its number: so whoever asks can choose
//! among all of them without being told their ids. (Real ids are random, because whoever guesses
//! one is believed. The store cannot tell: it has them under their MD5.)

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::time::Duration;

use dustdevil::session::USERNAME;
use dustdevil::session::id::{Id, Key};
use dustdevil::{Lifetime, MemoryStore, Result, Store};
use tokio::time::Instant;

/// A session's only value is kept under this name, unless it is somebody's.
const ANONYMOUS: &str = "basket";

/// Who is logged in with the session of this number: always in as many bytes.
pub(crate) fn user(number: u32) -> String {
    format!("user{number:08}")
}

/// Where a store has the session of this number.
fn key(number: u32) -> Key {
    let id = Id::parse(&format!("{number:032x}"));
    id.expect("these are 32 hex digits").key()
}

/// Sessions that are to be created.
pub(crate) struct Filling {
    pub(crate) numbers: Range<u32>,
    /// Whether each is somebody's, or they are all anonymous.
    pub(crate) logged_in: bool,
    /// From the beginning of the filling to the moment at which all of them expire.
    pub(crate) expire: Duration,
}

impl Filling {
    /// Creates them as any server would, through the store's contract.
    pub(crate) async fn fill(self, store: &MemoryStore) -> Result {
        let end = Instant::now() + self.expire;
        let place = IpAddr::from(Ipv4Addr::LOCALHOST);
        let name = if self.logged_in { USERNAME } else { ANONYMOUS };
        for number in self.numbers {
            let left = end.saturating_duration_since(Instant::now());
            let lifetime = Lifetime { idle: left, absolute: left };
            store.create(key(number), lifetime, place, name, &user(number)).await?;
        }
        Ok(())
    }
}

/// Maps without any of what a store does: nothing expires in them, they have no bound and no
/// order, and know of no user which sessions are theirs.
pub(crate) enum Plain {
    /// The least that will do.
    Names(HashMap<[u8; 16], Box<str>>),
    /// The tutorial's `container`, word by word.
    Maps(HashMap<[u8; 16], HashMap<String, String>>),
}

impl Plain {
    pub(crate) fn fill(&mut self, numbers: Range<u32>) {
        for number in numbers {
            let (key, user) = (*key(number).as_bytes(), user(number));
            match self {
                Plain::Names(names) => drop(names.insert(key, user.into())),
                Plain::Maps(maps) => {
                    drop(maps.insert(key, HashMap::from([(USERNAME.into(), user)])));
                }
            }
        }
    }
}

/// Takes a processor for a while, with something that has nothing to do with sessions in a store.
pub(crate) fn compute(time: Duration) {
    let began = Instant::now();
    for number in (0..).take_while(|_| began.elapsed() < time) {
        std::hint::black_box(key(number));
    }
}
