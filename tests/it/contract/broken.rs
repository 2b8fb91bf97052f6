//! Stores with a flaw. Whoever breaks a promise is found, or the suite would prove nothing.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use dustdevil::session::id::Key;
use dustdevil::session::store::StoreFuture;
use dustdevil::session::store::{Counters, LiveVisit, SessionInfo, USERNAME, Visit};
use dustdevil::{Lifetime, Store};

use crate::support::PLACE;

use super::shelf::Shelf;
use super::subject::told;

/// What a store may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    BeginsOverWhatLives,
    SetsInWhatHasEnded,
    SwapsWhateverIsThere,
    SwapsNothingForNone,
    TrimsValues,
    CutsLongValues,
    EndsWhatItClears,
    GettingIsNoUse,
    ListingIsUse,
    VisitingMakesYoung,
    AsksEveryVisitorToTell,
    AsksNobodyToTell,
    KeepsForever,
    ForgetsWhereItMoved,
    ForgetsWhomToEnd,
    FollowsOneMove,
    TellsOneMove,
    OldKeyLivesOn,
    MovingMakesYoung,
    MovesWithItsOldLifetime,
    MovesWhatIsNotThere,
    LosesUsersOnTheWay,
    KeepsItsPlaceAtALogin,
    ListsByKey,
    ListsByAge,
    ListsWhatHasExpired,
    TakesUsersForPatterns,
    RemembersTheFirstPlace,
    CountsNoEnd,
    CountsEveryEnd,
    CountsNoMove,
    CountsNoRefusal,
    SweepsNothing,
    SweepsEverything,
}

/// A shelf with a flaw.
struct Broken {
    shelf: Shelf,
    flaw: Flaw,
}

impl Broken {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn peek(&self, key: Key) -> bool {
        self.shelf.inside().books.contains_key(&key)
    }
}

impl Store for Broken {
    fn create<'a>(
        &'a self,
        key: Key,
        lifetime: Lifetime,
        place: IpAddr,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, bool> {
        if self.has(Flaw::BeginsOverWhatLives) && self.peek(key) {
            self.shelf.inside().books.remove(&key);
            self.shelf.inside().counters.ended += 1;
        }
        self.shelf.create(key, lifetime, place, name, value)
    }

    fn visit<'a>(
        &'a self,
        key: Key,
        place: IpAddr,
        name: &'a str,
    ) -> StoreFuture<'a, Visit> {
        StoreFuture::boxed(async move {
            if self.has(Flaw::VisitingMakesYoung)
                && let Some(book) = self.shelf.inside().live(key)
            {
                book.began = book.used;
            }
            let place = if self.has(Flaw::RemembersTheFirstPlace) { PLACE } else { place };
            let refused = self.shelf.inside().counters.rejected_ids;
            let visit = match self.shelf.visit(key, place, name).await? {
                Visit::Moved if self.has(Flaw::ForgetsWhereItMoved) => Visit::Gone,
                Visit::Live(visited) => Visit::Live(self.spoil(visited)),
                visit => visit,
            };
            if self.has(Flaw::CountsNoRefusal) {
                self.shelf.inside().counters.rejected_ids = refused;
            }
            Ok(visit)
        })
    }

    fn get<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        let used = self.shelf.inside().books.get(&key).map(|book| book.used);
        let answer = self.shelf.get(key, name);
        if self.has(Flaw::GettingIsNoUse)
            && let Some(book) = self.shelf.inside().books.get_mut(&key)
        {
            book.used = used.unwrap_or(book.used);
        }
        answer
    }

    fn set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        value: &'a str,
    ) -> StoreFuture<'a, Option<()>> {
        let value = match self.flaw {
            Flaw::TrimsValues => value.trim(),
            Flaw::CutsLongValues => value.get(..8 * 1024).unwrap_or(value),
            _ => value,
        };
        StoreFuture::boxed(async move {
            let answer = self.shelf.set(key, name, value).await?;
            if answer.is_none() && self.has(Flaw::SetsInWhatHasEnded) {
                let lifetime = Lifetime::default();
                self.shelf.create(key, lifetime, PLACE, name, value).await?;
                return Ok(Some(()));
            }
            Ok(answer)
        })
    }

    fn remove<'a>(
        &'a self,
        key: Key,
        name: &'a str,
    ) -> StoreFuture<'a, Option<Option<String>>> {
        self.shelf.remove(key, name)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: Key,
        name: &'a str,
        expected: Option<&'a str>,
        value: &'a str,
    ) -> StoreFuture<'a, Option<bool>> {
        StoreFuture::boxed(async move {
            let there = self.shelf.get(key, name).await?.flatten();
            let expected = match self.flaw {
                Flaw::SwapsWhateverIsThere => there.as_deref(),
                Flaw::SwapsNothingForNone if there.as_deref() == Some("") => {
                    Some(expected.unwrap_or_default())
                }
                _ => expected,
            };
            self.shelf.compare_and_set(key, name, expected, value).await
        })
    }

    fn keys(&self, key: Key) -> StoreFuture<'_, Option<Vec<String>>> {
        self.shelf.keys(key)
    }

    fn clear(&self, key: Key) -> StoreFuture<'_, Option<()>> {
        StoreFuture::boxed(async move {
            let answer = self.shelf.clear(key).await?;
            if self.has(Flaw::EndsWhatItClears) {
                self.shelf.destroy(key).await?;
            }
            Ok(answer)
        })
    }

    fn destroy(&self, key: Key) -> StoreFuture<'_, bool> {
        StoreFuture::boxed(async move {
            if !self.peek(key) && self.has(Flaw::ForgetsWhomToEnd) {
                return Ok(false);
            }
            let next = self.shelf.inside().moves.get(&key).copied();
            if self.has(Flaw::FollowsOneMove)
                && next.is_some_and(|(next, _)| !self.peek(next))
            {
                return Ok(false);
            }
            let ended = self.shelf.destroy(key).await?;
            let counters = &mut self.shelf.inside().counters;
            match self.flaw {
                Flaw::CountsNoEnd => counters.ended -= u64::from(ended),
                Flaw::CountsEveryEnd => counters.ended += u64::from(!ended),
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
            if self.has(Flaw::MovesWhatIsNotThere)
                && self.shelf.inside().live(key).is_none()
            {
                let lifetime = lifetime.unwrap_or_default();
                self.shelf.create(key, lifetime, PLACE, "a", "1").await?;
            }
            let before = self.shelf.inside().books.get(&key).cloned();
            let rotated = self.shelf.rotate(key, new, lifetime).await?;
            if let (true, Some(before)) = (rotated, before) {
                self.spoil_move(key, new, before);
            }
            Ok(rotated)
        })
    }

    fn successors(&self, key: Key) -> StoreFuture<'_, Vec<Key>> {
        StoreFuture::boxed(async move {
            let mut moves = self.shelf.successors(key).await?;
            if self.has(Flaw::TellsOneMove) {
                moves.truncate(1);
            }
            Ok(moves)
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a str) -> StoreFuture<'a, Vec<SessionInfo>> {
        StoreFuture::boxed(async move {
            if self.has(Flaw::ListsWhatHasExpired) {
                for book in self.shelf.inside().books.values_mut() {
                    book.lifetime = Lifetime::default();
                }
            }
            if self.has(Flaw::TakesUsersForPatterns) && user == "*" {
                return self.shelf.sessions_of("somebody").await;
            }
            let mut listed = self.shelf.sessions_of(user).await?;
            match self.flaw {
                Flaw::ListsByKey => listed.sort_by_key(|listed| listed.key),
                Flaw::ListsByAge => listed.sort_by_key(|listed| listed.age),
                Flaw::ListingIsUse => {
                    for listed in &listed {
                        self.shelf.inside().live(listed.key);
                    }
                }
                _ => {}
            }
            Ok(listed)
        })
    }

    fn counters(&self) -> StoreFuture<'_, Counters> {
        self.shelf.counters()
    }

    fn sweep(&self) -> StoreFuture<'_, ()> {
        match self.flaw {
            Flaw::SweepsNothing => StoreFuture::ready(Ok(())),
            Flaw::SweepsEverything => {
                self.shelf.inside().moves.clear();
                self.shelf.sweep()
            }
            _ => self.shelf.sweep(),
        }
    }
}

impl Broken {
    /// Tells a visitor something that is wrong.
    fn spoil(&self, visited: LiveVisit) -> LiveVisit {
        match self.flaw {
            Flaw::AsksEveryVisitorToTell => LiveVisit { renew: true, ..visited },
            Flaw::AsksNobodyToTell => LiveVisit { renew: false, ..visited },
            Flaw::KeepsForever => LiveVisit { max_age: visited.max_age * 2, ..visited },
            _ => visited,
        }
    }

    /// Does something wrong to a session that has moved.
    fn spoil_move(&self, key: Key, new: Key, before: super::shelf::Book) {
        let mut inside = self.shelf.inside();
        match self.flaw {
            Flaw::CountsNoMove => inside.counters.rotated -= 1,
            Flaw::OldKeyLivesOn => drop(inside.books.insert(key, before)),
            flaw => {
                let Some(book) = inside.books.get_mut(&new) else { return };
                match flaw {
                    Flaw::MovingMakesYoung => book.began = book.used,
                    Flaw::MovesWithItsOldLifetime => book.lifetime = before.lifetime,
                    Flaw::KeepsItsPlaceAtALogin => book.login = before.login,
                    Flaw::LosesUsersOnTheWay => drop(book.values.remove(USERNAME)),
                    _ => {}
                }
            }
        }
    }
}

/// The requirements that a store with this flaw does not meet.
fn found(flaw: Flaw) -> Vec<&'static str> {
    let subject = async || Some(told(Arc::new(Broken { shelf: Shelf::default(), flaw })));
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
    failed.extend::<Vec<&str>>(requirements_of_the_minute!(failures(subject)));
    failed
}

/// Each flaw, and a requirement that is there to find it.
const FLAWS: [(Flaw, &str); 34] = [
    (Flaw::BeginsOverWhatLives, "a_key_that_is_taken_is_left_alone"),
    (Flaw::SetsInWhatHasEnded, "a_session_that_was_destroyed_accepts_nothing"),
    (Flaw::SwapsWhateverIsThere, "of_many_who_swap_at_once_one_succeeds"),
    (Flaw::SwapsNothingForNone, "a_value_is_swapped_only_if_it_is_what_was_expected"),
    (Flaw::TrimsValues, "any_text_is_a_name_and_any_is_a_value"),
    (Flaw::CutsLongValues, "ten_kibibytes_are_a_value"),
    (Flaw::EndsWhatItClears, "a_session_that_was_cleared_goes_on_without_values"),
    (Flaw::GettingIsNoUse, "every_operation_is_use"),
    (Flaw::ListingIsUse, "to_look_from_outside_is_no_use"),
    (
        Flaw::VisitingMakesYoung,
        "a_session_ends_at_its_absolute_limit_however_busily_it_is_used",
    ),
    (
        Flaw::AsksEveryVisitorToTell,
        "of_many_who_visit_at_once_one_is_asked_to_tell_the_client",
    ),
    (Flaw::AsksNobodyToTell, "the_client_is_told_again_after_a_tenth_of_the_idle_limit"),
    (Flaw::KeepsForever, "an_id_is_kept_no_longer_than_the_session_can_last"),
    (Flaw::ForgetsWhereItMoved, "who_comes_with_the_old_key_is_told_that_it_moved"),
    (Flaw::ForgetsWhomToEnd, "who_ends_a_key_ends_the_session_that_moved_from_it"),
    (Flaw::FollowsOneMove, "who_ends_a_key_ends_the_session_however_often_it_moved_since"),
    (Flaw::TellsOneMove, "a_store_tells_where_a_session_has_moved"),
    (Flaw::OldKeyLivesOn, "a_key_that_a_session_moved_from_accepts_nothing"),
    (Flaw::MovingMakesYoung, "a_session_that_moves_gets_no_older_and_no_younger"),
    (Flaw::MovesWithItsOldLifetime, "a_session_that_moves_may_be_given_another_lifetime"),
    (Flaw::MovesWhatIsNotThere, "to_move_what_is_not_there_brings_nothing_to_life"),
    (Flaw::LosesUsersOnTheWay, "a_user_moves_with_the_session"),
    (Flaw::KeepsItsPlaceAtALogin, "who_is_given_another_lifetime_is_the_latest"),
    (Flaw::ListsByKey, "a_user_has_the_sessions_that_have_the_name_the_latest_first"),
    (Flaw::ListsByAge, "it_is_the_login_that_counts_and_not_the_age"),
    (Flaw::ListsWhatHasExpired, "what_has_expired_is_nobodys"),
    (Flaw::TakesUsersForPatterns, "any_text_is_a_user"),
    (Flaw::RemembersTheFirstPlace, "the_list_says_from_where_a_session_was_last_visited"),
    (Flaw::CountsNoEnd, "each_event_is_counted_once"),
    (Flaw::CountsEveryEnd, "whatever_happens_the_counters_add_up"),
    (Flaw::CountsNoMove, "each_event_is_counted_once"),
    (Flaw::CountsNoRefusal, "a_visit_to_nobody_finds_nobody_and_leaves_nothing"),
    (Flaw::SweepsNothing, "who_sweeps_lets_go_of_what_expired_and_of_nothing_else"),
    (Flaw::SweepsEverything, "for_a_minute_a_visitor_is_told_that_the_session_moved"),
];

#[test]
fn the_suite_finds_every_flaw() {
    for (flaw, requirement) in FLAWS {
        let found = found(flaw);
        assert!(found.contains(&requirement), "{flaw:?}: {found:#?}");
    }
}

#[test]
fn the_suite_finds_no_flaw_where_there_is_none() {
    assert_eq!(found(Flaw::None), [""; 0]);
}
