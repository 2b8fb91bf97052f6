//! The session that a handler holds, and how one request finds it, begins it, moves it and loses
//! it.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use log::{info, warn};

use crate::session::error::Error;
use crate::session::id::{Id, Key};
use crate::session::state::{Announcement, Claims, News, Settled, Standing, State};
use crate::session::store::Answer;
use crate::session::store::{Lifetime, Store, USERNAME, Visit};

type Result<T = ()> = std::result::Result<T, Error>;

/// What the sessions of an application are subject to.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long they live.
    pub lifetime: Lifetime,
    /// Sessions that one user may have at once, and at least one; whoever logs in once more ends
    /// the one of them that logged in first. Default: 100.
    pub max_sessions_per_user: usize,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { lifetime: Lifetime::default(), max_sessions_per_user: 100 }
    }
}

/// One visitor's session, as one request sees it.
///
/// Where there is none, reading finds nothing, and the first write begins one: until then there
/// is no id and no entry. Where it ended while the request was under way, because another one
/// logged out, reading finds nothing too, and writing does nothing; it is no error.
///
/// Clones are the same session.
#[derive(Clone)]
pub struct Session {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Arc<dyn Store>,
    pub(super) rules: Rules,
    /// Where the client is.
    place: IpAddr,
    /// The ids that it claims.
    claims: Claims,
    gate: Gate,
    state: Mutex<State>,
}

/// Held while the standing of a session changes, and asked for by what changes it.
type Gate = tokio::sync::Mutex<()>;
pub(super) type InGate<'s> = tokio::sync::MutexGuard<'s, ()>;

impl Session {
    /// The session of a client at `place` that claims one of these ids. An id is believed if the
    /// store knows it, and is nothing otherwise: never is one adopted that was not issued here.
    /// The store is not asked before the session is.
    pub fn new(
        store: Arc<dyn Store>,
        rules: Rules,
        place: IpAddr,
        claims: impl Iterator<Item = Id>,
    ) -> Session {
        let claims = Claims::of(claims);
        let standing =
            if claims.is_empty() { Standing::Anonymous } else { Standing::Claimed };
        let state = Mutex::new(State::new(standing));
        let gate = Gate::default();
        Session { inner: Arc::new(Inner { store, rules, place, claims, gate, state }) }
    }

    /// What the client has to be told, looked up at the last moment: an id that has died in the
    /// meantime is not given out again.
    pub async fn announcement(&self) -> Result<Announcement> {
        let (id, is_another) = {
            let state = self.state();
            match (&state.standing, state.news) {
                _ if !state.used => return Ok(Announcement::Unused),
                (Standing::Live(id), News::Issue) => (id.clone(), state.has_ended_one),
                (_, News::Withdraw) => return Ok(Announcement::Withdraw),
                _ => return Ok(Announcement::Nothing),
            }
        };
        match self.inner.store.visit(id.key(), self.inner.place, USERNAME).await? {
            Visit::Live(visited) => {
                Ok(Announcement::Issue { id, keep: visited.keep, is_another })
            }
            Visit::Moved | Visit::Gone => Ok(Announcement::Nothing),
        }
    }

    /// The key that forms were made for: the session's, or the one that it had until a moment ago.
    pub(crate) async fn form_key(&self) -> Result<Option<Key>> {
        self.settle(USERNAME).await?;
        Ok(match &self.state().standing {
            Standing::Live(id) | Standing::Ended(id) => Some(id.key()),
            Standing::Claimed | Standing::Anonymous | Standing::Disputed(_) => None,
        })
    }

    /// Finds out which of the claimed ids is that of a live session, if nobody has. Whoever looks
    /// first and finds one has the value of a name on the way. Others ask the store.
    pub(super) async fn settle(&self, name: &str) -> Result<Settled> {
        if let Some(settled) = self.known() {
            return Ok(settled);
        }
        let _gate = self.gate().await;
        // Whoever came first through the gate may have found out already.
        if let Some(settled) = self.known() {
            return Ok(settled);
        }
        let (mut live, mut others) = (None, Vec::new());
        let (mut moved, mut gone) = (None, Vec::new());
        for id in self.inner.claims.iter() {
            match self.inner.store.visit(id.key(), self.inner.place, name).await? {
                Visit::Live(visited) if live.is_none() => live = Some((id, visited)),
                Visit::Live(_) => others.push(id),
                Visit::Moved => moved = Some(id),
                Visit::Gone => gone.push(id.key()),
            }
        }
        match &gone[..] {
            [] => {}
            [one] => self.report(one, "is claimed, and is none"),
            [one, others @ ..] => {
                let count = others.len();
                self.report(
                    one,
                    format_args!("is claimed with {count} more, and all are none"),
                );
            }
        }
        let Some((id, visited)) = live else {
            let ended = moved.map(|id| Standing::Ended(id.clone()));
            let standing = ended.unwrap_or(Standing::Anonymous);
            self.state().turn(standing, News::Nothing);
            return Ok(Settled::Known(None));
        };
        if !others.is_empty() {
            // A browser has one. The others were planted, by a neighboring domain or on the way,
            // and nobody can tell which: whoever chose would seat a visitor in a stranger's.
            warn_of_two(&id.key(), &others[0].key(), self.inner.place);
            let ids = [id].into_iter().chain(others).cloned().collect();
            self.state().turn(Standing::Disputed(ids), News::Nothing);
            return Ok(Settled::Known(None));
        }
        let news = if visited.renew { News::Issue } else { News::Nothing };
        self.state().turn(Standing::Live(id.clone()), news);
        Ok(Settled::Found(id.key(), visited.value))
    }

    /// What is known of the session, unless nobody has looked yet. Whoever asks is going to use it.
    fn known(&self) -> Option<Settled> {
        let mut state = self.state();
        state.used = true;
        match &state.standing {
            Standing::Claimed => None,
            standing => Some(Settled::Known(standing.live_key())),
        }
    }

    /// Begins a session with its first value, if there is none and none has ended; `true` if it
    /// did.
    pub(super) async fn begin(
        &self,
        lifetime: Lifetime,
        name: &str,
        value: &str,
    ) -> Result<bool> {
        if self.store_key().await?.is_some() {
            return Ok(false);
        }
        let gate = self.gate().await;
        if !matches!(self.state().standing, Standing::Anonymous | Standing::Disputed(_)) {
            return Ok(false);
        }
        self.begin_anew(&gate, lifetime, name, value).await?;
        Ok(true)
    }

    /// Begins a session.
    pub(super) async fn begin_anew(
        &self,
        _: &InGate<'_>,
        lifetime: Lifetime,
        name: &str,
        value: &str,
    ) -> Result {
        loop {
            let (id, place) = (Id::generate(), self.inner.place);
            // That the id is taken will not happen in the life of this universe; but if it
            // did, somebody would be given another's session.
            if self.inner.store.create(id.key(), lifetime, place, name, value).await? {
                self.report(&id.key(), "begins");
                self.state().turn(Standing::Live(id), News::Issue);
                return Ok(());
            }
        }
    }

    /// Moves the session to a new id, and perhaps gives it another lifetime; `false` if there is
    /// none any more.
    pub(super) async fn rotate_for(
        &self,
        _: &InGate<'_>,
        lifetime: Option<Lifetime>,
    ) -> Result<bool> {
        let Some(old) = self.live_key() else { return Ok(false) };
        let id = Id::generate();
        if !self.inner.store.rotate(old, id.key(), lifetime).await? {
            self.state().end();
            return Ok(false);
        }
        self.report(&old, format_args!("goes on as {}", id.key().fingerprint()));
        self.state().turn(Standing::Live(id), News::Issue);
        Ok(true)
    }

    /// The key of the session, if it is known to be live.
    pub(super) fn live_key(&self) -> Option<Key> {
        self.state().standing.live_key()
    }

    /// Asks the store, if there is a session. Where it says that there is none of this key any
    /// more, it may have been this very request that moved it, in another branch of a `join!`;
    /// then it is asked again, with the key that it moved to.
    pub(super) async fn ask<'a, T>(
        &'a self,
        question: impl Fn(Key) -> Answer<'a, Option<T>>,
    ) -> Result<Option<T>> {
        self.ask_of(self.store_key().await?, question).await
    }

    /// The same, where the key is known already.
    pub(super) async fn ask_of<'a, T>(
        &'a self,
        mut key: Option<Key>,
        question: impl Fn(Key) -> Answer<'a, Option<T>>,
    ) -> Result<Option<T>> {
        while let Some(asked) = key {
            let answer = question(asked).await?;
            if answer.is_some() {
                return Ok(answer);
            }
            let _gate = self.gate().await;
            key = self.live_key();
            if key == Some(asked) {
                self.state().end();
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// A line of the security log. It names a session by its fingerprint, which opens nothing.
    pub(super) fn report(&self, key: &Key, what: impl Display) {
        let place = self.inner.place;
        info!(target: "dustdevil::security", "session {} {what} ({place})", key.fingerprint());
    }

    /// Held while the standing changes: while a session is looked for, begun, rotated or ended.
    /// So two clones in two branches of a `join!` begin one session and not two.
    pub(super) async fn gate(&self) -> InGate<'_> {
        match self.inner.gate.try_lock() {
            Ok(gate) => gate,
            // Waiting is seldom, and its future large: it takes room only where one has to wait.
            Err(_) => Box::pin(self.inner.gate.lock()).await,
        }
    }

    /// This is a `std::sync::Mutex` because it is never held while anything is waited for.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.state().standing {
            Standing::Claimed => "Session(claimed)",
            Standing::Anonymous => "Session(none)",
            Standing::Disputed(_) => "Session(disputed)",
            Standing::Live(_) => "Session(live)",
            Standing::Ended(_) => "Session(ended)",
        })
    }
}

fn warn_of_two(one: &Key, other: &Key, place: IpAddr) {
    let (one, other) = (one.fingerprint(), other.fingerprint());
    warn!(
        target: "dustdevil::security",
        "sessions {one} and {other} are claimed in one request, and neither is believed ({place})"
    );
}
