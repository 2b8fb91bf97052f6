//! Mutation tests of the suite: each mutant is the reference store with one flaw, and at least
//! one requirement must fail for it. Requirements that no mutant fails would prove nothing.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use dustdevil::session::id::Key;
use dustdevil::session::store::StoreFuture;
use dustdevil::session::store::{
    CompareAndSet, Counters, LiveVisit, SessionInfo, USERNAME, Visit,
};
use dustdevil::{Lifetime, Store};

use crate::support::CLIENT_IP;

use super::reference_store::{ReferenceSession, ReferenceStore};
use super::store_under_test::on_paused_clock;

/// The flaw of a mutant; `None` is the unchanged reference store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    OverwritesOnCreate,
    SetRevivesEndedSession,
    SwapIgnoresExpected,
    SwapTakesEmptyForAbsent,
    TrimsValues,
    TruncatesValues,
    ClearDestroys,
    GetIsNotUse,
    ListIsUse,
    VisitRestartsAbsoluteTimeout,
    RenewsOnEveryVisit,
    NeverRenews,
    MaxAgeTooLong,
    VisitForgetsRotations,
    DestroyForgetsRotations,
    DestroyFollowsOneRotation,
    ChangesOriginOnRotation,
    OldKeyStaysLive,
    RotateRestartsAbsoluteTimeout,
    RotateIgnoresLifetime,
    RotateCreates,
    RotateLosesUser,
    LoginKeepsListPosition,
    ListsByKey,
    ListsByAge,
    ListsExpired,
    TakesUserForPattern,
    KeepsFirstClientAddress,
    DoesNotCountEnds,
    CountsEveryDestroy,
    DoesNotCountRotations,
    DoesNotCountRejectedIds,
    SweepsNothing,
    SweepsGracePeriods,
}

/// The reference store with a flaw.
struct Mutant {
    store: ReferenceStore,
    flaw: Flaw,
}

impl Mutant {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn has_session(&self, key: Key) -> bool {
        self.store.lock().sessions.contains_key(&key)
    }
}

impl Store for Mutant {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        ip: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        if self.has(Flaw::OverwritesOnCreate) && self.has_session(key) {
            self.store.lock().sessions.remove(&key);
            self.store.lock().counters.ended += 1;
        }
        self.store.create(key, lifetime, ip, name, value)
    }

    fn visit<'a>(&'a self, key: Key, ip: IpAddr, name: &'a str) -> StoreFuture<'a, Visit> {
        StoreFuture::boxed(async move {
            if self.has(Flaw::VisitRestartsAbsoluteTimeout)
                && let Some(session) = self.store.lock().live(key)
            {
                session.created_at = session.used_at;
            }
            let ip = if self.has(Flaw::KeepsFirstClientAddress) { CLIENT_IP } else { ip };
            let refused = self.store.lock().counters.rejected_ids;
            let visit = match self.store.visit(key, ip, name).await? {
                Visit::Moved if self.has(Flaw::VisitForgetsRotations) => Visit::Gone,
                Visit::Live(visited) => Visit::Live(self.corrupt_visit(visited)),
                visit => visit,
            };
            if self.has(Flaw::DoesNotCountRejectedIds) {
                self.store.lock().counters.rejected_ids = refused;
            }
            Ok(visit)
        })
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        let used_at = self.store.lock().sessions.get(&key).map(|session| session.used_at);
        let result = self.store.get(key, name);
        if self.has(Flaw::GetIsNotUse)
            && let Some(session) = self.store.lock().sessions.get_mut(&key)
        {
            session.used_at = used_at.unwrap_or(session.used_at);
        }
        result
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        let value = match self.flaw {
            Flaw::TrimsValues => value.trim(),
            Flaw::TruncatesValues => value.get(..8 * 1024).unwrap_or(value),
            _ => value,
        };
        StoreFuture::boxed(async move {
            let result = self.store.set(key, name, value).await?;
            if result.is_none() && self.has(Flaw::SetRevivesEndedSession) {
                let lifetime = Lifetime::default();
                self.store.create(key, lifetime, CLIENT_IP, name, value).await?;
                return Ok(Some(()));
            }
            Ok(result)
        })
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        self.store.remove(key, name)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<CompareAndSet>> {
        StoreFuture::boxed(async move {
            let current = self.store.get(key, name).await?.flatten();
            let expected = match self.flaw {
                Flaw::SwapIgnoresExpected => current.as_deref(),
                Flaw::SwapTakesEmptyForAbsent if current.as_deref() == Some("") => {
                    Some(expected.unwrap_or_default())
                }
                _ => expected,
            };
            self.store.compare_and_set(key, name, expected, value).await
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        self.store.keys(key)
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        StoreFuture::boxed(async move {
            let result = self.store.clear(key).await?;
            if self.has(Flaw::ClearDestroys) {
                self.store.destroy(key).await?;
            }
            Ok(result)
        })
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            if !self.has_session(key) && self.has(Flaw::DestroyForgetsRotations) {
                return Ok(false);
            }
            let next = self.store.lock().rotations.get(&key).copied();
            if self.has(Flaw::DestroyFollowsOneRotation)
                && next.is_some_and(|(next, _)| !self.has_session(next))
            {
                return Ok(false);
            }
            let ended = self.store.destroy(key).await?;
            let counters = &mut self.store.lock().counters;
            match self.flaw {
                Flaw::DoesNotCountEnds => counters.ended -= u64::from(ended),
                Flaw::CountsEveryDestroy => counters.ended += u64::from(!ended),
                _ => {}
            }
            Ok(ended)
        })
    }

    fn rotate(
        &self,
        key: Key,
        new: Key,
        lifetime: Option<Lifetime>,
    ) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            if self.has(Flaw::RotateCreates) && self.store.lock().live(key).is_none() {
                let lifetime = lifetime.unwrap_or_default();
                self.store.create(key, lifetime, CLIENT_IP, "a", "1").await?;
            }
            let before = self.store.lock().sessions.get(&key).cloned();
            let rotated = self.store.rotate(key, new, lifetime).await?;
            if let (true, Some(before)) = (rotated, before) {
                self.corrupt_rotation(key, new, before);
            }
            Ok(rotated)
        })
    }

    fn origin(&self, key: Key) -> StoreFuture<'_, Option<Key>> {
        match self.flaw {
            Flaw::ChangesOriginOnRotation => StoreFuture::ready(Ok(Some(key))),
            _ => self.store.origin(key),
        }
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        StoreFuture::boxed(async move {
            if self.has(Flaw::ListsExpired) {
                for session in self.store.lock().sessions.values_mut() {
                    session.lifetime = Lifetime::default();
                }
            }
            if self.has(Flaw::TakesUserForPattern) && user == "*" {
                return self.store.sessions_of("ann").await;
            }
            let mut listed = self.store.sessions_of(user).await?;
            match self.flaw {
                Flaw::ListsByKey => listed.sort_by_key(|listed| listed.key),
                Flaw::ListsByAge => listed.sort_by_key(|listed| listed.age),
                Flaw::ListIsUse => {
                    for listed in &listed {
                        self.store.lock().live(listed.key);
                    }
                }
                _ => {}
            }
            Ok(listed)
        })
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        self.store.counters()
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        match self.flaw {
            Flaw::SweepsNothing => StoreFuture::ready(Ok(())),
            Flaw::SweepsGracePeriods => {
                self.store.lock().rotations.clear();
                self.store.sweep()
            }
            _ => self.store.sweep(),
        }
    }
}

impl Mutant {
    /// Falsifies the result of a visit.
    fn corrupt_visit(&self, visited: LiveVisit) -> LiveVisit {
        match self.flaw {
            Flaw::RenewsOnEveryVisit => LiveVisit { renew: true, ..visited },
            Flaw::NeverRenews => LiveVisit { renew: false, ..visited },
            Flaw::MaxAgeTooLong => LiveVisit { max_age: visited.max_age * 2, ..visited },
            _ => visited,
        }
    }

    /// Falsifies the state after a rotation. `before` is the session before it.
    fn corrupt_rotation(&self, key: Key, new: Key, before: ReferenceSession) {
        let mut state = self.store.lock();
        match self.flaw {
            Flaw::DoesNotCountRotations => state.counters.rotated -= 1,
            Flaw::OldKeyStaysLive => drop(state.sessions.insert(key, before)),
            flaw => {
                let Some(session) = state.sessions.get_mut(&new) else { return };
                match flaw {
                    Flaw::RotateRestartsAbsoluteTimeout => {
                        session.created_at = session.used_at;
                    }
                    Flaw::RotateIgnoresLifetime => session.lifetime = before.lifetime,
                    Flaw::LoginKeepsListPosition => session.login = before.login,
                    Flaw::RotateLosesUser => drop(session.values.remove(USERNAME)),
                    _ => {}
                }
            }
        }
    }
}

/// Returns the requirements that fail for a store with this flaw.
fn failed_requirements(flaw: Flaw) -> Vec<&'static str> {
    let subject = async || {
        Some(on_paused_clock(Arc::new(Mutant { store: ReferenceStore::default(), flaw })))
    };
    macro_rules! failures {
        (($subject:ident) $($file:ident: $($requirement:ident)*;)*) => {{
            let mut failed = Vec::new();
            $($(
                let proof = || super::prove($subject, super::$file::$requirement);
                if catch_unwind(AssertUnwindSafe(proof)).is_err() {
                    failed.push(stringify!($requirement));
                }
            )*)*
            failed
        }};
    }
    let mut failed: Vec<&str> = requirements!(failures(subject));
    failed.extend::<Vec<&str>>(requirements_of_rotation_grace!(failures(subject)));
    failed
}

/// Each flaw, and a requirement that must fail for it.
const MUTANTS: [(Flaw, &str); 34] = [
    (Flaw::OverwritesOnCreate, "a_key_that_is_taken_is_left_alone"),
    (Flaw::SetRevivesEndedSession, "a_session_that_was_destroyed_accepts_nothing"),
    (Flaw::SwapIgnoresExpected, "one_of_many_concurrent_swaps_succeeds"),
    (Flaw::SwapTakesEmptyForAbsent, "a_value_is_swapped_only_if_it_is_what_was_expected"),
    (Flaw::TrimsValues, "any_text_is_a_name_and_any_is_a_value"),
    (Flaw::TruncatesValues, "ten_kibibytes_are_a_value"),
    (Flaw::ClearDestroys, "a_cleared_session_stays_live_without_values"),
    (Flaw::GetIsNotUse, "every_operation_is_use"),
    (Flaw::ListIsUse, "listing_the_sessions_of_a_user_is_not_use"),
    (Flaw::VisitRestartsAbsoluteTimeout, "a_busy_session_expires_at_its_absolute_timeout"),
    (Flaw::RenewsOnEveryVisit, "one_of_many_concurrent_visits_renews_the_cookie"),
    (Flaw::NeverRenews, "a_visit_renews_the_cookie_after_a_tenth_of_the_idle_timeout"),
    (Flaw::MaxAgeTooLong, "max_age_ends_at_the_absolute_timeout"),
    (Flaw::VisitForgetsRotations, "a_visit_with_a_rotated_key_returns_moved"),
    (Flaw::DestroyForgetsRotations, "destroying_a_rotated_key_ends_its_successor"),
    (Flaw::DestroyFollowsOneRotation, "destroying_a_key_follows_all_its_rotations"),
    (Flaw::ChangesOriginOnRotation, "rotations_do_not_change_the_origin_of_a_session"),
    (Flaw::OldKeyStaysLive, "a_rotated_key_accepts_nothing"),
    (Flaw::RotateRestartsAbsoluteTimeout, "a_rotation_does_not_change_the_timeouts"),
    (Flaw::RotateIgnoresLifetime, "a_rotation_may_change_the_lifetime"),
    (Flaw::RotateCreates, "rotating_an_unknown_key_creates_nothing"),
    (Flaw::RotateLosesUser, "a_rotation_keeps_the_user"),
    (Flaw::LoginKeepsListPosition, "a_rotation_with_a_lifetime_counts_as_a_login"),
    (Flaw::ListsByKey, "sessions_of_lists_a_users_sessions_the_latest_login_first"),
    (Flaw::ListsByAge, "the_list_is_ordered_by_login_and_not_by_age"),
    (Flaw::ListsExpired, "an_expired_session_is_not_listed"),
    (Flaw::TakesUserForPattern, "any_text_is_a_user"),
    (Flaw::KeepsFirstClientAddress, "the_list_has_the_last_client_address"),
    (Flaw::DoesNotCountEnds, "each_event_is_counted_once"),
    (Flaw::CountsEveryDestroy, "the_counters_add_up_after_random_operations"),
    (Flaw::DoesNotCountRotations, "each_event_is_counted_once"),
    (
        Flaw::DoesNotCountRejectedIds,
        "a_visit_with_an_unknown_key_finds_and_creates_nothing",
    ),
    (Flaw::SweepsNothing, "a_sweep_removes_expired_sessions_and_no_others"),
    (Flaw::SweepsGracePeriods, "a_visit_returns_moved_during_the_grace_period"),
];

#[test]
fn the_suite_finds_every_mutant() {
    for (flaw, requirement) in MUTANTS {
        let failed_requirements = failed_requirements(flaw);
        assert!(
            failed_requirements.contains(&requirement),
            "{flaw:?}: {failed_requirements:#?}"
        );
    }
}

#[test]
fn the_suite_finds_no_flaw_in_the_reference_store() {
    assert_eq!(failed_requirements(Flaw::None), [""; 0]);
}
