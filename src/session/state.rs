//! What one request knows of its session, and has to tell its client at the end.

use std::slice;
use std::time::Duration;

use crate::session::id::{Id, Key};

/// Ids that one request may claim. A browser sends one; a neighboring domain that plays tricks
/// may plant many in front of it, and is not to hide it.
const MOST_CLAIMS: usize = 16;

pub(super) struct State {
    pub(super) standing: Standing,
    /// Whether anything was asked of the session.
    pub(super) used: bool,
    pub(super) news: News,
    /// Whether the request has ended a session.
    pub(super) has_ended_one: bool,
    /// Whether the message for the next page stays when it is asked for.
    pub(super) keeps_flash: bool,
}

/// What is known of the session.
pub(super) enum Standing {
    /// The client says that it has one; nobody has looked yet.
    Claimed,
    /// There is none. The first write begins one.
    Anonymous,
    /// There is more than one, and none is believed. The first write begins another.
    Disputed(Vec<Id>),
    /// It was there when it was last looked at.
    Live(Id),
    /// It ended, or went on under another id, while it was held or shortly before. It stays so.
    Ended(Id),
}

/// What has come of looking for the session.
pub(super) enum Settled {
    /// It was found just now, under this key, and has this value of the name that was asked for.
    Found(Key, Option<String>),
    /// It had been looked for before, or there is none: its key, if it lives.
    Known(Option<Key>),
}

/// What the client has to be told at the end of the request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// What it knows still holds.
    Nothing,
    /// The id that its session has now.
    Issue,
    /// To forget its id.
    Withdraw,
}

/// The news for the client, with the id where there is one to tell.
#[derive(Debug)]
pub enum Announcement {
    /// Nothing was asked of the session, so the answer does not depend on it.
    Unused,
    /// What it knows still holds.
    Nothing,
    /// Its id, and how long to keep it.
    Issue {
        /// The id.
        id: Id,
        /// Until it is of no use any more, even if it is used no more.
        keep: Duration,
        /// It is in the place of another, which the same request has ended.
        is_another: bool,
    },
    /// To forget its id.
    Withdraw,
}

/// The ids that a request claims, each of them once.
pub(super) struct Claims {
    /// Nearly always the only one: it needs no allocation.
    first: Option<Id>,
    others: Vec<Id>,
}

impl Claims {
    pub(super) fn of(mut all: impl Iterator<Item = Id>) -> Claims {
        let mut claims = Claims { first: all.next(), others: Vec::new() };
        for id in all {
            let is_new = claims.iter().all(|other| other.key() != id.key());
            if is_new && claims.iter().count() < MOST_CLAIMS {
                claims.others.push(id);
            }
        }
        claims
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Id> {
        self.first.iter().chain(&self.others)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

impl State {
    pub(super) fn new(standing: Standing) -> State {
        State {
            standing,
            used: false,
            news: News::Nothing,
            has_ended_one: false,
            keeps_flash: false,
        }
    }

    pub(super) fn turn(&mut self, standing: Standing, news: News) {
        (self.standing, self.news) = (standing, news);
    }

    /// The session was found to have ended.
    pub(super) fn end(&mut self) {
        if let Standing::Live(id) = &self.standing {
            self.turn(Standing::Ended(id.clone()), News::Nothing);
        }
    }
}

impl Standing {
    /// The key of the session, if it is known to be live.
    pub(super) fn live_key(&self) -> Option<Key> {
        match self {
            Standing::Live(id) => Some(id.key()),
            _ => None,
        }
    }

    /// The id that the session has, or had until a moment ago; those of all, where there are
    /// several.
    pub(super) fn ids(&self) -> &[Id] {
        match self {
            Standing::Live(id) | Standing::Ended(id) => slice::from_ref(id),
            Standing::Disputed(ids) => ids,
            Standing::Claimed | Standing::Anonymous => &[],
        }
    }
}
