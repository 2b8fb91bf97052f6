//! The counters of a store: each event is counted once, and the counters add up.

use dustdevil::session::store::{Counters, USERNAME};

use crate::support::CLIENT_IP;

use super::store_under_test::{StoreUnderTest, key};

/// Returns `true` if the live sessions are those created minus those ended, expired and evicted.
pub fn adds_up(counters: Counters) -> bool {
    let Counters { live, created, ended, expired, evicted, .. } = counters;
    live + ended + expired + evicted == created
}

pub async fn a_new_store_has_counted_nothing(subject: StoreUnderTest) {
    assert_eq!(subject.counters().await, Counters::default());
}

pub async fn each_event_is_counted_once(subject: StoreUnderTest) {
    let store = &subject.store;
    let mut expected = Counters::default();

    let first = subject.begin("a", "1").await;
    let second = subject.begin_as("ann").await;
    (expected.created, expected.live) = (2, 2);
    assert_eq!(subject.counters().await, expected);

    let lifetime = subject.long_lifetime();
    assert!(!store.create(first, lifetime, CLIENT_IP, "a", "1").await.unwrap());
    assert_eq!(subject.counters().await, expected, "that was taken");

    let new_key = subject.rotate(first, None).await;
    expected.rotated = 1;
    assert_eq!(subject.counters().await, expected);

    subject.visit(first).await;
    subject.visit(key()).await;
    expected.rejected_ids = 2;
    assert_eq!(subject.counters().await, expected);

    assert!(subject.destroy(first).await);
    (expected.ended, expected.live) = (1, 1);
    assert_eq!(subject.counters().await, expected, "it ended where it is by now");
    for key in [first, new_key, key()] {
        assert!(!subject.destroy(key).await);
    }
    assert_eq!(subject.counters().await, expected, "it ends once");

    subject.store.clear(second).await.unwrap();
    subject.destroy(second).await;
    (expected.ended, expected.live) = (2, 0);
    assert_eq!(subject.counters().await, expected);
}

pub async fn reading_and_writing_are_not_counted(subject: StoreUnderTest) {
    let (store, key) = (&subject.store, subject.begin("a", "1").await);
    let before = subject.counters().await;
    subject.set(key, "b", "2").await;
    subject.set(key, USERNAME, "ann").await;
    store.compare_and_set(key, "b", Some("2"), "3").await.unwrap();
    store.remove(key, "a").await.unwrap();
    subject.get(key, "b").await;
    subject.visited(key).await;
    subject.keys(key).await;
    subject.sessions_of("ann").await;
    store.sessions_over_limit("ann", 0).await.unwrap();
    store.clear(key).await.unwrap();
    store.sweep().await.unwrap();
    for name in ["a", "b"] {
        assert_eq!(store.get(self::key(), name).await.unwrap(), None);
        assert_eq!(store.set(self::key(), name, "1").await.unwrap(), None);
    }
    assert_eq!(subject.counters().await, before);
}

pub async fn an_expiry_is_counted_once_whichever_operation_finds_it(
    subject: StoreUnderTest,
) {
    let mut keys = Vec::new();
    for _ in 0..6 {
        keys.push(subject.begin_for(subject.lifetime(1, 100), USERNAME, "a").await);
    }
    subject.pass(1).await;
    let store = &subject.store;
    assert!(!subject.is_live(keys[0]).await);
    assert!(store.get(keys[1], "a").await.unwrap().is_none());
    assert!(!subject.destroy(keys[2]).await);
    assert!(!store.rotate(keys[3], key(), None).await.unwrap());
    assert!(subject.keys_of("a").await.is_empty());
    assert!(adds_up(subject.counters().await));
    for _ in 0..20 {
        store.sweep().await.unwrap();
        assert!(adds_up(subject.counters().await));
        if subject.counters().await.live == 0 {
            break;
        }
        subject.pass(1).await;
    }
    let Counters { live, ended, expired, .. } = subject.counters().await;
    assert_eq!((live, ended, expired), (0, 0, 6));
}

/// A pseudorandom generator with a fixed seed, so that every run performs the same operations.
pub struct Dice(pub u64);

impl Dice {
    /// Returns a number below `sides`.
    pub fn throw(&mut self, sides: usize) -> usize {
        // Marsaglia's xorshift, "Xorshift RNGs", Journal of Statistical Software 8(14).
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let sides = u64::try_from(sides).expect("few sides");
        usize::try_from(self.0 % sides).expect("less than before")
    }
}

pub async fn the_counters_add_up_after_random_operations(subject: StoreUnderTest) {
    let (store, mut dice) = (&subject.store, Dice(0x0064_7573_7420_6421));
    let mut keys = [key(); 8];
    let users = ["a", "b", ""];
    for round in 0..600 {
        let (from, to, user) = (dice.throw(8), dice.throw(8), users[dice.throw(3)]);
        match dice.throw(9) {
            0 | 1 => {
                let lifetime = match dice.throw(4) {
                    0 => subject.lifetime(1, 100),
                    1 => subject.lifetime(100, 1),
                    _ => subject.long_lifetime(),
                };
                keys[to] = key();
                store.create(keys[to], lifetime, CLIENT_IP, USERNAME, user).await.unwrap();
            }
            2 | 3 => {
                let (new, old) = (key(), keys[from]);
                store.rotate(old, new, None).await.unwrap();
                keys[to] = new;
            }
            4 => drop(subject.destroy(keys[from]).await),
            5 => drop(store.set(keys[from], USERNAME, user).await.unwrap()),
            6 => drop(store.clear(keys[from]).await.unwrap()),
            7 => drop(subject.visit(keys[from]).await),
            _ => store.sweep().await.unwrap(),
        }
        if round % 100 == 99 {
            subject.pass(1).await;
        }
        assert!(adds_up(subject.counters().await));
    }
}
