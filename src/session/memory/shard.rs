//! A part of the static map: the sessions behind one lock.
//!
//! Nothing here looks through all sessions, ever: what has expired and what has to go are at the
//! front of a list, and what is named by its key is found by it.

use std::net::IpAddr;

use crate::session::error::Error;
use crate::session::id::Key;
use crate::session::memory::clock::Millis;
use crate::session::memory::entry::Entry;
use crate::session::memory::key_table::Index;
use crate::session::memory::rotated::Moved;
use crate::session::memory::slab::{List, Slab, Slot};
use crate::session::memory::timer_wheel::{Calendar, Due};
use crate::session::memory::user_index::Writer;
use crate::session::memory::values::Values;
use crate::session::store::{Counters, Lifetime, USERNAME, Visit};

/// Steps that are taken in one go while sweeping, so that nobody waits long for a lock.
const BITE: usize = 128;

/// How much one shard holds.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    pub(crate) sessions: usize,
    pub(crate) bytes: usize,
    pub(crate) max_session_bytes: usize,
}

pub(crate) struct Shard {
    slots: Index,
    entries: Slab<Entry>,
    /// In the order in which they go when there is no room: who came first, and before anybody's.
    anonymous: List<0>,
    /// In the order in which they became somebody's.
    somebodys: List<0>,
    calendar: Calendar,
    moved: Moved,
    /// Whose sessions are where, here and in all other shards.
    users: Writer,
    room: Room,
    /// What the values of all sessions take.
    bytes: usize,
    counters: Counters,
}

impl Shard {
    pub(crate) fn new(room: Room, users: Writer) -> Shard {
        Shard {
            slots: Index::default(),
            entries: Slab::default(),
            anonymous: List::default(),
            somebodys: List::default(),
            calendar: Calendar::default(),
            moved: Moved::default(),
            users,
            room,
            bytes: 0,
            counters: Counters::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn counters(&self) -> Counters {
        Counters { live: self.len() as u64, ..self.counters }
    }

    pub(crate) fn create(
        &mut self,
        mut entry: Entry,
        name: &str,
        value: &str,
        now: Millis,
    ) -> Result<bool, Error> {
        if self.live(entry.key, now).is_some() {
            return Ok(false);
        }
        entry.values = self.checked(Values::default().with(name, value))?;
        entry.enter(&mut self.users);
        self.counters.created += 1;
        self.insert(entry);
        Ok(true)
    }

    pub(crate) fn visit(&mut self, key: Key, ip: IpAddr, name: &str, now: Millis) -> Visit {
        if let Some(slot) = self.live(key, now) {
            return Visit::Live(self.entries[slot].visit(ip, name, now));
        }
        self.counters.rejected_ids += 1;
        match self.moved.whereto(key, now) {
            Some(_) => Visit::Moved,
            None => Visit::Gone,
        }
    }

    /// Looks at the values of a live session.
    pub(crate) fn read<T>(
        &mut self,
        key: Key,
        now: Millis,
        look: impl FnOnce(&Values) -> T,
    ) -> Option<T> {
        let slot = self.live(key, now)?;
        Some(look(&self.entries[slot].values))
    }

    /// Puts others in the place of a live session's values, if `change` makes any, and gives what
    /// it says besides.
    pub(crate) fn change<T>(
        &mut self,
        key: Key,
        now: Millis,
        change: impl FnOnce(&Values) -> (Option<Values>, T),
    ) -> Result<Option<T>, Error> {
        let Some(slot) = self.live(key, now) else { return Ok(None) };
        let (values, answer) = change(&self.entries[slot].values);
        if let Some(values) = values {
            let values = self.checked(values)?;
            self.replace(slot, values);
        }
        Ok(Some(answer))
    }

    /// A live session, if it is this user's. Being looked at is not use.
    pub(crate) fn users_entry(
        &mut self,
        key: Key,
        user: &str,
        now: Millis,
    ) -> Option<&Entry> {
        let slot = self.find(key)?;
        if self.entries[slot].expiry() <= now {
            self.expire(slot);
            return None;
        }
        let entry = &self.entries[slot];
        (entry.user() == Some(user)).then_some(entry)
    }

    /// Finds out whether a session still lives, for whoever asks how many its user has.
    pub(crate) fn see_to(&mut self, key: Key, now: Millis) {
        let Some(slot) = self.find(key) else { return };
        let entry = &self.entries[slot];
        if entry.expiry() > now {
            entry.update(&mut self.users);
        } else {
            self.expire(slot);
        }
    }

    /// Ends a session; `false` if there is none.
    pub(crate) fn end(&mut self, key: Key, now: Millis) -> bool {
        let Some(slot) = self.live(key, now) else { return false };
        self.counters.ended += 1;
        self.drop(slot);
        true
    }

    pub(crate) fn whereto(&mut self, key: Key, now: Millis) -> Option<Key> {
        self.moved.whereto(key, now)
    }

    /// Lets a session go to another shard, or to another key of this one.
    pub(crate) fn leave(
        &mut self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
        now: Millis,
    ) -> Option<Entry> {
        let slot = self.live(key, now)?;
        let mut entry = self.extract(slot);
        entry.rotate(new, lifetime, now);
        self.moved.add(key, new, now, self.room.sessions);
        self.counters.rotated += 1;
        Some(entry)
    }

    /// Takes in a session that has left another. Whatever has its key now has it no more.
    pub(crate) fn arrive(&mut self, mut entry: Entry, lifetime: Option<Lifetime>) {
        if let Some(slot) = self.find(entry.key) {
            self.counters.ended += 1;
            self.drop(slot);
        }
        self.moved.forget_one(entry.key);
        match lifetime {
            Some(_) => {
                entry.strike_out(&mut self.users);
                entry.enter(&mut self.users);
            }
            None => entry.update(&mut self.users),
        }
        self.insert(entry);
    }

    /// Looks at some of the sessions that are due. `true` if there may be more.
    pub(crate) fn sweep(&mut self, now: Millis) -> bool {
        self.moved.forget(now);
        for _ in 0..BITE {
            match self.calendar.due(now) {
                Due::Look(slot) => self.look_at(slot, now),
                Due::PageTurned => {}
                Due::Nothing => return false,
            }
        }
        true
    }

    fn look_at(&mut self, slot: Slot, now: Millis) {
        let entry = &self.entries[slot];
        let (expiry, look_at) = (entry.expiry(), entry.look_at);
        if expiry <= now {
            self.expire(slot);
            return;
        }
        self.calendar.strike_out(&mut self.entries, slot, look_at);
        self.entries[slot].look_at = self.calendar.enter(&mut self.entries, slot, expiry);
    }

    /// Where the session of this key is, whether it lives or not.
    fn find(&self, key: Key) -> Option<Slot> {
        self.slots.get(key, |slot| self.entries[slot].key == key)
    }

    /// Where the session of this key is, if it lives. Marks it as used; lets go of it if its time
    /// is up.
    fn live(&mut self, key: Key, now: Millis) -> Option<Slot> {
        let slot = self.find(key)?;
        let entry = &mut self.entries[slot];
        if entry.expiry() > now {
            entry.used = entry.used.max(now);
            return Some(slot);
        }
        self.expire(slot);
        None
    }

    fn expire(&mut self, slot: Slot) {
        self.counters.expired += 1;
        self.drop(slot);
    }

    /// Values, if a session may have so much.
    fn checked(&self, values: Values) -> Result<Values, Error> {
        let limit = self.room.max_session_bytes;
        if values.cost() > limit { Err(Error::TooLarge { limit }) } else { Ok(values) }
    }

    /// Gives a session other values. It may be somebody else's with them.
    fn replace(&mut self, slot: Slot, values: Values) {
        self.bytes += values.cost();
        let entry = &mut self.entries[slot];
        let old = std::mem::replace(&mut entry.values, values);
        self.bytes -= old.cost();
        if old.bytes_of(USERNAME) != entry.values.bytes_of(USERNAME) {
            self.change_user(slot, old.get(USERNAME));
        }
        self.make_room(slot);
    }

    /// A session is no more the one's whose it was.
    fn change_user(&mut self, slot: Slot, before: Option<&str>) {
        let entry = &mut self.entries[slot];
        if let Some(user) = before {
            self.users.remove(user, entry.login);
        }
        entry.enter(&mut self.users);
        let is_somebodys = entry.user().is_some();
        self.unlink(slot, before.is_some());
        self.append(slot, is_somebodys);
    }

    fn insert(&mut self, entry: Entry) {
        let (key, cost) = (entry.key, entry.values.cost());
        let (expiry, is_somebodys) = (entry.expiry(), entry.user().is_some());
        let slot = self.entries.put(entry);
        self.slots.insert(key, slot);
        self.entries[slot].look_at = self.calendar.enter(&mut self.entries, slot, expiry);
        self.append(slot, is_somebodys);
        self.bytes += cost;
        self.make_room(slot);
    }

    /// Lets go of a session for good.
    fn drop(&mut self, slot: Slot) {
        let entry = self.extract(slot);
        entry.strike_out(&mut self.users);
    }

    fn extract(&mut self, slot: Slot) -> Entry {
        let entry = &self.entries[slot];
        let (look_at, is_somebodys) = (entry.look_at, entry.user().is_some());
        self.calendar.strike_out(&mut self.entries, slot, look_at);
        self.unlink(slot, is_somebodys);
        let entry = self.entries.take(slot);
        self.slots.remove(entry.key, slot);
        self.bytes -= entry.values.cost();
        entry
    }

    /// Ends the oldest, but for one, until all others have room.
    fn make_room(&mut self, but: Slot) {
        while self.len() > self.room.sessions || self.bytes > self.room.bytes {
            let Some(slot) = self.oldest_but(but) else { return };
            self.counters.evicted += 1;
            self.drop(slot);
        }
    }

    fn oldest_but(&self, but: Slot) -> Option<Slot> {
        let other = |list: &List<0>| {
            let first = list.first()?;
            if first == but { self.entries.behind(list, first) } else { Some(first) }
        };
        other(&self.anonymous).or_else(|| other(&self.somebodys))
    }

    fn append(&mut self, slot: Slot, is_somebodys: bool) {
        let list = if is_somebodys { &mut self.somebodys } else { &mut self.anonymous };
        self.entries.append(list, slot);
    }

    fn unlink(&mut self, slot: Slot, is_somebodys: bool) {
        let list = if is_somebodys { &mut self.somebodys } else { &mut self.anonymous };
        self.entries.unlink(list, slot);
    }
}
