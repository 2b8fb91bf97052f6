//! A store as its user might write it: everything under one lock, and no thought of speed. That it
//! passes says that the suite asks for the contract, and not for what the built-in stores happen
//! to do.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use dustdevil::session::error::Error;
use dustdevil::session::id::Key;
use dustdevil::session::store::StoreFuture;
use dustdevil::session::store::{
    Counters, DEVICE, LiveVisit, ROTATION_GRACE, SessionInfo, USERNAME, Visit,
};
use dustdevil::{Lifetime, Store};
use tokio::time::Instant;

/// Bytes of names and values in a session.
const LIMIT: usize = 12 * 1024;

#[derive(Default)]
pub struct Shelf(Mutex<Inside>);

#[derive(Default)]
pub struct Inside {
    pub books: BTreeMap<Key, Book>,
    /// Where a session has moved from a key, and when.
    pub moves: BTreeMap<Key, (Key, Instant)>,
    pub counters: Counters,
    /// How often anybody came to have a session.
    logins: u64,
}

/// A session.
#[derive(Clone)]
pub struct Book {
    pub values: BTreeMap<String, String>,
    pub lifetime: Lifetime,
    pub place: IpAddr,
    pub began: Instant,
    pub used: Instant,
    pub told: Instant,
    pub login: u64,
}

impl Shelf {
    pub fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// Does something to a session that lives.
    fn with<'a, T: Send + 'a>(
        &self,
        key: Key,
        act: impl FnOnce(&mut Book) -> T,
    ) -> StoreFuture<'a, Option<T>> {
        let answer = self.inside().live(key).map(act);
        StoreFuture::ready(Ok(answer))
    }

    /// The same, for what may be too large.
    fn try_with<'a, T: Send + 'a>(
        &self,
        key: Key,
        act: impl FnOnce(&mut Book, u64) -> Result<T, Error>,
    ) -> StoreFuture<'a, Option<T>> {
        let mut inside = self.inside();
        inside.logins += 1;
        let login = inside.logins;
        let answer = inside.live(key).map(|book| act(book, login)).transpose();
        StoreFuture::ready(answer)
    }
}

impl Inside {
    /// The session, which is used by this; or the end of it, if its time is up.
    pub fn live(&mut self, key: Key) -> Option<&mut Book> {
        if !self.books.get(&key)?.lives() {
            self.books.remove(&key);
            self.counters.expired += 1;
        }
        let book = self.books.get_mut(&key)?;
        book.used = Instant::now();
        Some(book)
    }

    /// Where a session moved from this key, less than a minute ago.
    fn moved_to(&self, key: Key) -> Option<Key> {
        let (new, when) = self.moves.get(&key)?;
        (when.elapsed() < ROTATION_GRACE).then_some(*new)
    }

    fn destroy(&mut self, mut key: Key) -> bool {
        while let Some(new) = self.moved_to(key) {
            key = new;
        }
        let ended = self.live(key).is_some();
        self.books.remove(&key);
        self.counters.ended += u64::from(ended);
        ended
    }
}

impl Book {
    fn lives(&self) -> bool {
        self.used.elapsed() < self.lifetime.idle
            && self.began.elapsed() < self.lifetime.absolute
    }

    pub fn put(&mut self, name: &str, value: &str, login: u64) -> Result<(), Error> {
        let others = self.values.iter().filter(|(other, _)| *other != name);
        let bytes: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if bytes + name.len() + value.len() > LIMIT {
            return Err(Error::TooLarge { limit: LIMIT });
        }
        let old = self.values.insert(name.to_owned(), value.to_owned());
        if name == USERNAME && old.as_deref() != Some(value) {
            self.login = login;
        }
        Ok(())
    }
}

impl Store for Shelf {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        place: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        let (values, now) = (BTreeMap::new(), Instant::now());
        let mut book =
            Book { values, lifetime, place, began: now, used: now, told: now, login: 0 };
        let mut inside = self.inside();
        inside.logins += 1;
        let is_free = inside.live(key).is_none();
        let answer = book.put(name, value, inside.logins).map(|()| is_free);
        if answer == Ok(true) {
            inside.counters.created += 1;
            inside.books.insert(key, book);
        }
        StoreFuture::ready(answer)
    }

    fn visit<'a>(
        &'a self,
        key: Key,
        place: IpAddr,
        name: &'a str,
    ) -> StoreFuture<'a, Visit> {
        let mut inside = self.inside();
        let moved = inside.moved_to(key).is_some();
        let visit = match inside.live(key) {
            Some(book) => {
                let renew = book.told.elapsed() >= book.lifetime.renew_interval();
                (book.place, book.told) =
                    (place, if renew { Instant::now() } else { book.told });
                let left = book.lifetime.absolute.saturating_sub(book.began.elapsed());
                let value = book.values.get(name).cloned();
                Visit::Live(LiveVisit {
                    value,
                    renew,
                    max_age: book.lifetime.max_age(left),
                })
            }
            None if moved => Visit::Moved,
            None => Visit::Gone,
        };
        inside.counters.rejected_ids += u64::from(!matches!(visit, Visit::Live(_)));
        StoreFuture::ready(Ok(visit))
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        self.with(key, |book| book.values.get(name).cloned())
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        self.try_with(key, |book, login| book.put(name, value, login))
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        self.with(key, |book| book.values.remove(name))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<bool>> {
        self.try_with(key, |book, login| {
            match book.values.get(name).map(String::as_str) == expected {
                true => book.put(name, value, login).map(|()| true),
                false => Ok(false),
            }
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        self.with(key, |book| book.values.keys().cloned().collect())
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        self.with(key, |book| book.values.clear())
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::ready(Ok(self.inside().destroy(key)))
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        let (mut inside, now) = (self.inside(), Instant::now());
        let Some(mut book) = inside.live(key).cloned() else {
            return StoreFuture::ready(Ok(false));
        };
        book.told = now;
        if let Some(lifetime) = lifetime {
            (book.lifetime, book.began) = (lifetime, now);
            inside.logins += 1;
            book.login = inside.logins;
        }
        inside.books.remove(&key);
        inside.moves.insert(key, (new, now));
        inside.counters.rotated += 1;
        let lost = inside.books.insert(new, book).is_some();
        inside.counters.ended += u64::from(lost);
        StoreFuture::ready(Ok(true))
    }

    fn successors(&self, mut key: Key) -> StoreFuture<'_, Vec<Key>> {
        let (inside, mut moves) = (self.inside(), Vec::new());
        while let Some(new) = inside.moved_to(key) {
            moves.push(new);
            key = new;
        }
        StoreFuture::ready(Ok(moves))
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        let inside = self.inside();
        let is_users =
            |book: &Book| book.values.get(USERNAME).is_some_and(|name| name == user);
        let mut books: Vec<_> = inside
            .books
            .iter()
            .filter(|(_, book)| book.lives() && is_users(book))
            .collect();
        books.sort_by_key(|(_, book)| std::cmp::Reverse(book.login));
        let listed = |(key, book): (&Key, &Book)| SessionInfo {
            key: *key,
            age: book.began.elapsed(),
            idle: book.used.elapsed(),
            last_ip: book.place,
            device: book.values.get(DEVICE).cloned(),
        };
        StoreFuture::ready(Ok(books.into_iter().map(listed).collect()))
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        let inside = self.inside();
        let live = u64::try_from(inside.books.len()).unwrap_or(u64::MAX);
        StoreFuture::ready(Ok(Counters { live, ..inside.counters }))
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        let mut inside = self.inside();
        let before = inside.books.len();
        inside.books.retain(|_, book| book.lives());
        let expired = before - inside.books.len();
        inside.counters.expired += u64::try_from(expired).unwrap_or(u64::MAX);
        inside.moves.retain(|_, (_, when)| when.elapsed() < ROTATION_GRACE);
        StoreFuture::ready(Ok(()))
    }
}
