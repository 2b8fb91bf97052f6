//! What one request knows about its session, and the cookie update it owes the client.
//!
//! ```text
//!                     +-- no presented id is live ----------> Absent --+
//!                     |                                                | first write: create
//!  Unresolved --------+-- exactly one is live --------------> Live  <--+
//!   (ids presented)   |                                       | |      |
//!                     +-- several are live ----> Ambiguous ---|-|------+
//!                     |                                       | |
//!                     |        destroyed or expired elsewhere | | destroy()
//!                     +-- rotated a moment ago -> Ended <-----+ +----> Absent
//! ```
//! A write does not leave `Ended`: after another request has logged out, this one must not create
//! a session again by writing to it. Only an explicit [`destroy`](crate::Session::destroy) or
//! [`log_in`](crate::Session::log_in) does: the first leads to `Absent`, from which the next write
//! creates a session with a new id, and the second to `Live`.

use std::slice;
use std::time::Duration;

use crate::session::id::{Id, Key};

pub(super) struct RequestState {
    pub(super) session: SessionState,
    /// `true` if the handler has used the session, so the response depends on it.
    pub(super) used: bool,
    pub(super) update: PendingUpdate,
    /// `true` if this request has destroyed a session.
    pub(super) has_ended_one: bool,
    /// `true` if reading the flash message must not remove it.
    pub(super) keeps_flash: bool,
}

/// What is known about the session of this request.
pub(super) enum SessionState {
    /// The client has presented one or more ids; the store has not been asked about them yet.
    Unresolved,
    /// There is no session. The first write creates one.
    Absent,
    /// Several presented ids are live, so none is used. The first write creates a new session.
    Ambiguous(Vec<Id>),
    /// The session was live at the last store operation.
    Live(Id),
    /// The session was destroyed, expired or was rotated by another request.
    Ended(Id),
}

/// The result of [`resolve`](crate::Session::resolve).
pub(super) enum Resolved {
    /// This call has visited the live session with this key, which has this value for the name
    /// that was asked for.
    WithValue(Key, Option<String>),
    /// The key of the live session, if there is one. The value was not asked for, because the
    /// session was known before, or is not live.
    KeyOnly(Option<Key>),
}

/// The cookie update that the response will carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PendingUpdate {
    /// None: the client's cookie is still right.
    None,
    /// Sends the session's id.
    Send,
    /// Tells the client to delete its cookie.
    Forget,
}

/// What the response must tell the client about its session id. Returned by
/// [`Session::client_update`](crate::Session::client_update).
#[derive(Debug)]
pub enum ClientUpdate {
    /// The handler did not use the session, so the response does not depend on it.
    Unused,
    /// Nothing: the client's id is still right.
    None,
    /// Send the session's id.
    SendId {
        /// The secret id.
        id: Id,
        /// Time after which the id is certainly expired, even if it is not used again.
        max_age: Duration,
        /// `true` if the id replaces that of a session which this request has destroyed.
        replaces_ended: bool,
    },
    /// Tell the client to delete its id.
    ForgetId,
}

impl ClientUpdate {
    /// Returns the name of the update, for the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            ClientUpdate::Unused => "the session was not used",
            ClientUpdate::None => "stays as it is",
            ClientUpdate::SendId { .. } => "the id is sent",
            ClientUpdate::ForgetId => "the id is deleted",
        }
    }
}

impl RequestState {
    pub(super) fn new(session: SessionState) -> RequestState {
        RequestState {
            session,
            used: false,
            update: PendingUpdate::None,
            has_ended_one: false,
            keeps_flash: false,
        }
    }

    pub(super) fn set(&mut self, session: SessionState, update: PendingUpdate) {
        (self.session, self.update) = (session, update);
    }

    /// Records that the store no longer has the session.
    pub(super) fn end(&mut self) {
        if let SessionState::Live(id) = &self.session {
            self.set(SessionState::Ended(id.clone()), PendingUpdate::None);
        }
    }
}

impl SessionState {
    /// Returns the key of the session if it is known to be live.
    pub(super) fn live_key(&self) -> Option<Key> {
        match self {
            SessionState::Live(id) => Some(id.key()),
            _ => None,
        }
    }

    /// Returns the id that the session has or had; all ids if they are ambiguous.
    pub(super) fn ids(&self) -> &[Id] {
        match self {
            SessionState::Live(id) | SessionState::Ended(id) => slice::from_ref(id),
            SessionState::Ambiguous(ids) => ids,
            SessionState::Unresolved | SessionState::Absent => &[],
        }
    }
}
