//! The observer of a session store: each operation, with the value before and after.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use real::session::id::Key;
use real::session::store::{
    CompareAndSet, Counters, Lifetime, SessionInfo, Store, StoreFuture, Visit,
};

use crate::film::Layer;
use crate::mask::is_secret;
use crate::recorder::{begin, end, mark};

/// Maximum number of values that the observer remembers, to say what a value was before.
const MAX_KNOWN: usize = 10_000;

/// The name under which the observer remembers that it saw a session begin: a value that it has
/// not seen is none then.
const CREATED: &str = "\0created";

/// A session store whose operations are recorded.
pub struct Observed {
    store: Arc<dyn Store>,
    /// The values that have passed by. They are not asked for: that would be one more operation,
    /// and being observed changes nothing.
    known: Mutex<HashMap<(Key, String), Option<String>>>,
}

impl Observed {
    /// Observes a store.
    pub fn new(store: Arc<dyn Store>) -> Observed {
        Observed { store, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(Key, String), Option<String>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a value, and returns the text of what it was before.
    fn learn(&self, key: Key, name: &str, value: Option<&str>) -> String {
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        let is_created = known.contains_key(&(key, String::from(CREATED)));
        let unknown = if is_created { "none" } else { "?" };
        let before = known.insert((key, name.to_owned()), value.map(str::to_owned));
        before.map_or(unknown.into(), |before| shown(name, before.as_deref()))
    }

    fn forget(&self, key: Key) {
        self.known().retain(|(other, _), _| *other != key);
    }
}

/// Returns a value as a film shows it.
fn shown(name: &str, value: Option<&str>) -> String {
    match value {
        None => String::from("none"),
        Some(value) if is_secret(name) => "*".repeat(value.chars().count()),
        Some(value) => format!("{value:?}"),
    }
}

/// Returns the fingerprint of a key, which names a session in the log.
fn print(key: Key) -> String {
    key.fingerprint()
}

/// Records an operation that changes a value.
fn change(operation: &str, key: Key, name: &str, before: &str, after: &str) {
    let detail = format!("{}  {name}: {before} -> {after}", print(key));
    mark(Layer::Store, operation, &detail);
}

impl Store for Observed {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        StoreFuture::boxed(async move {
            let created = self.store.create(key, lifetime, ip, name, value).await?;
            if created {
                self.learn(key, CREATED, None);
                self.learn(key, name, Some(value));
                change("store create", key, name, "none", &shown(name, Some(value)));
            } else {
                mark(
                    Layer::Store,
                    "store create",
                    &format!("{}  the key is taken", print(key)),
                );
            }
            Ok(created)
        })
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        StoreFuture::boxed(async move {
            let visit = self.store.visit(key, ip, name).await?;
            self.visited(key, name, &visit);
            Ok(visit)
        })
    }

    fn visit_all<'a>(
        &'a self,
        keys: &'a [Key],
        ip: IpAddr,
        name: &'a str,
    ) -> StoreFuture<'a, Vec<Visit>> {
        StoreFuture::boxed(async move {
            let visits = self.store.visit_all(keys, ip, name).await?;
            for (key, visit) in keys.iter().zip(&visits) {
                self.visited(*key, name, visit);
            }
            Ok(visits)
        })
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        StoreFuture::boxed(async move {
            let value = self.store.get(key, name).await?;
            let detail = match &value {
                None => format!("{}  no such session", print(key)),
                Some(value) => {
                    self.learn(key, name, value.as_deref());
                    format!("{}  {name}: {}", print(key), shown(name, value.as_deref()))
                }
            };
            mark(Layer::Store, "store get", &detail);
            Ok(value)
        })
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        StoreFuture::boxed(async move {
            let set = self.store.set(key, name, value).await?;
            match set {
                Some(()) => {
                    let before = self.learn(key, name, Some(value));
                    change("store set", key, name, &before, &shown(name, Some(value)));
                }
                None => mark(
                    Layer::Store,
                    "store set",
                    &format!("{}  no such session", print(key)),
                ),
            }
            Ok(set)
        })
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        StoreFuture::boxed(async move {
            let removed = self.store.remove(key, name).await?;
            match &removed {
                Some(before) => {
                    self.learn(key, name, None);
                    change(
                        "store remove",
                        key,
                        name,
                        &shown(name, before.as_deref()),
                        "none",
                    );
                }
                None => {
                    let detail = format!("{}  no such session", print(key));
                    mark(Layer::Store, "store remove", &detail);
                }
            }
            Ok(removed)
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        StoreFuture::boxed(async move {
            let outcome = self.store.compare_and_set(key, name, expected, value).await?;
            let operation = "store compare_and_set";
            match &outcome {
                Some(CompareAndSet::Set) => {
                    self.learn(key, name, Some(value));
                    let (before, after) = (shown(name, expected), shown(name, Some(value)));
                    change(operation, key, name, &before, &after);
                }
                Some(CompareAndSet::Differs(current)) => {
                    let current = shown(name, current.as_deref());
                    let detail =
                        format!("{}  {name} is {current}, not changed", print(key));
                    mark(Layer::Store, operation, &detail);
                }
                None => mark(
                    Layer::Store,
                    operation,
                    &format!("{}  no such session", print(key)),
                ),
            }
            Ok(outcome)
        })
    }

    fn add<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        amount: i64,
    ) -> StoreFuture<'a, Option<i64>> {
        StoreFuture::boxed(async move {
            let sum = self.store.add(key, name, amount).await?;
            match sum {
                Some(sum) => {
                    self.learn(key, name, Some(&sum.to_string()));
                    let before = format!("{:?}", (sum - amount).to_string());
                    change(
                        "store add",
                        key,
                        name,
                        &before,
                        &format!("{:?}", sum.to_string()),
                    );
                }
                None => mark(
                    Layer::Store,
                    "store add",
                    &format!("{}  no such session", print(key)),
                ),
            }
            Ok(sum)
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        StoreFuture::boxed(async move {
            let keys = self.store.keys(key).await?;
            let names = keys.as_deref().unwrap_or_default().join(", ");
            mark(Layer::Store, "store keys", &format!("{}  {names}", print(key)));
            Ok(keys)
        })
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        StoreFuture::boxed(async move {
            let cleared = self.store.clear(key).await?;
            self.forget(key);
            let outcome = if cleared.is_some() { "no values" } else { "no such session" };
            mark(Layer::Store, "store clear", &format!("{}  {outcome}", print(key)));
            Ok(cleared)
        })
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            let destroyed = self.store.destroy(key).await?;
            self.forget(key);
            let outcome = if destroyed { "live -> destroyed" } else { "no such session" };
            mark(Layer::Store, "store destroy", &format!("{}  {outcome}", print(key)));
            Ok(destroyed)
        })
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            let rotated = self.store.rotate(key, new, lifetime).await?;
            if !rotated {
                mark(
                    Layer::Store,
                    "store rotate",
                    &format!("{}  no such session", print(key)),
                );
                return Ok(false);
            }
            let mut known = self.known();
            let moved: Vec<_> = known.extract_if(|(other, _), _| *other == key).collect();
            known.extend(moved.into_iter().map(|((_, name), value)| ((new, name), value)));
            drop(known);
            let detail = format!("{} -> {}", print(key), print(new));
            mark(Layer::Store, "store rotate", &detail);
            Ok(true)
        })
    }

    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>> {
        StoreFuture::boxed(async move {
            let origin = self.store.origin(key).await?;
            let found = origin.map_or_else(|| String::from("none"), print);
            mark(Layer::Store, "store origin", &format!("{}  {found}", print(key)));
            Ok(origin)
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        StoreFuture::boxed(async move {
            let sessions = self.store.sessions_of(user).await?;
            let detail = format!("{user:?}  {} sessions", sessions.len());
            mark(Layer::Store, "store sessions_of", &detail);
            Ok(sessions)
        })
    }

    fn sessions_over_limit<'a>(
        &'a self,
        user: &'a str,
        max: usize,
    ) -> StoreFuture<'a, Vec<Key>> {
        StoreFuture::boxed(async move {
            let step = begin(Layer::Store, "store sessions_over_limit", user);
            let keys = self.store.sessions_over_limit(user, max).await?;
            end(step, None);
            Ok(keys)
        })
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        self.store.counters()
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        self.store.sweep()
    }
}

impl Observed {
    fn visited(&self, key: Key, name: &str, visit: &Visit) {
        let outcome = match visit {
            Visit::Live(live) => {
                self.learn(key, name, live.value.as_deref());
                format!("live  {name}: {}", shown(name, live.value.as_deref()))
            }
            Visit::Moved => String::from("rotated a moment ago"),
            Visit::Gone => String::from("no such session"),
        };
        mark(Layer::Store, "store visit", &format!("{}  {outcome}", print(key)));
    }
}
