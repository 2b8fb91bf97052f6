//! What every store promises (`src/session/store.rs`), asked of each that there is through the
//! `Store` trait alone. A store of your own is one line more at the end of this file.
//!
//! In reading order: what is examined (`subject`), what is asked of it (`values` to `counting`, and
//! `minute`), a store as you might write it (`shelf`), and stores that are wrong in one thing each,
//! which the suite has to find (`broken`).

use tokio::runtime::Builder;

pub mod counting;
mod ends;
mod minute;
mod moves;
mod shelf;
mod subject;
mod users;
mod values;
mod visits;

use subject::{Stalled, Subject};

/// Gives another macro all requirements, by the files that they stand in.
macro_rules! requirements {
    ($with:ident $given:tt) => {
        $with! { $given
            values:
                a_session_begins_with_one_value
                a_key_that_is_taken_is_left_alone
                a_value_is_what_was_set_last
                a_name_without_a_value_has_none
                what_is_removed_is_given_once
                a_value_is_swapped_only_if_it_is_what_was_expected
                of_many_who_swap_at_once_one_succeeds
                a_session_that_was_cleared_goes_on_without_values
                sessions_know_nothing_of_each_other
                any_text_is_a_name_and_any_is_a_value
                names_that_a_store_might_use_itself_are_like_any_other
                ten_kibibytes_are_a_value
                what_is_too_large_changes_nothing
                what_is_taken_away_leaves_its_room;
            ends:
                a_key_that_never_was_accepts_nothing
                a_session_that_was_destroyed_accepts_nothing
                a_session_that_nobody_used_accepts_nothing
                a_session_that_grew_old_accepts_nothing
                a_session_ends_when_nobody_used_it_for_its_idle_limit
                every_operation_is_use
                to_look_from_outside_is_no_use
                a_session_ends_at_its_absolute_limit_however_busily_it_is_used
                sessions_of_one_store_may_live_for_different_times
                who_sweeps_lets_go_of_what_expired_and_of_nothing_else
                what_was_swept_away_accepts_nothing;
            visits:
                a_visit_gives_the_value_that_was_asked_for
                a_visit_to_nobody_finds_nobody_and_leaves_nothing
                the_client_is_told_again_after_a_tenth_of_the_idle_limit
                only_a_visit_has_the_client_told
                of_many_who_visit_at_once_one_is_asked_to_tell_the_client
                who_moves_a_session_tells_the_client
                an_id_is_kept_a_little_longer_than_the_idle_limit
                an_id_is_kept_no_longer_than_the_session_can_last;
            moves:
                a_session_moves_with_its_values
                a_key_that_a_session_moved_from_accepts_nothing
                who_comes_with_the_old_key_is_told_that_it_moved
                a_session_that_moves_gets_no_older_and_no_younger
                a_session_that_moves_may_be_given_another_lifetime
                another_lifetime_may_be_a_shorter_one
                to_move_what_is_not_there_brings_nothing_to_life
                what_lived_under_the_new_key_is_lost
                who_ends_a_key_ends_the_session_that_moved_from_it
                who_ends_a_key_ends_the_session_however_often_it_moved_since
                there_is_nothing_to_end_where_the_session_has_ended_since
                a_store_tells_where_a_session_has_moved
                others_stay_where_they_are
                a_user_moves_with_the_session;
            users:
                a_user_has_the_sessions_that_have_the_name_the_latest_first
                it_is_the_login_that_counts_and_not_the_age
                who_is_given_another_lifetime_is_the_latest
                a_session_is_no_longer_the_users_when_the_name_is_gone
                who_comes_back_is_listed_again
                what_has_expired_is_nobodys
                any_text_is_a_user
                the_list_says_from_where_a_session_was_last_visited
                the_list_says_what_a_session_is_used_with
                the_list_says_how_old_a_session_is_and_how_long_unused
                beyond_a_number_are_those_who_came_first
                beyond_a_number_are_only_those_that_live;
            counting:
                a_store_in_which_nothing_happened_has_counted_nothing
                each_event_is_counted_once
                reading_and_writing_are_not_counted
                a_session_expires_once_whoever_finds_it_so
                whatever_happens_the_counters_add_up;
        }
    };
}

/// Those that take a whole minute, for stores whose clock can be moved.
macro_rules! requirements_of_the_minute {
    ($with:ident $given:tt) => {
        $with! { $given
            minute:
                for_a_minute_a_visitor_is_told_that_the_session_moved
                for_a_minute_who_ends_a_key_ends_the_session_that_moved
                each_move_has_a_minute_of_its_own
                within_the_minute_a_session_is_found_wherever_it_went_since;
        }
    };
}

/// A test for each requirement.
macro_rules! tests {
    (($subject:path) $($file:ident: $($requirement:ident)*;)*) => {
        $($(
            #[test]
            fn $requirement() {
                $crate::contract::prove($subject, $crate::contract::$file::$requirement);
            }
        )*)*
    };
}

/// Holds a store against the contract: a name for it, and what makes a new one to examine.
macro_rules! contract_of {
    ($store:ident, $subject:path) => {
        mod $store {
            requirements!(tests($subject));
        }
    };
    ($store:ident, $subject:path, with the minute) => {
        mod $store {
            requirements!(tests($subject));
            requirements_of_the_minute!(tests($subject));
        }
    };
}

/// How a requirement ends.
trait Outcome {
    /// Whether it means anything. What the machine was too slow for is asked again.
    fn counts(&self) -> bool;
}

impl Outcome for () {
    fn counts(&self) -> bool {
        true
    }
}

impl Outcome for Result<(), Stalled> {
    fn counts(&self) -> bool {
        self.is_ok()
    }
}

/// How often a machine may stall before somebody should look after it.
const ATTEMPTS: u32 = 50;

/// Holds new stores against a requirement, until the answer means something. Each has a runtime of
/// its own, and so a clock of its own.
fn prove<S, R, O>(subject: impl Fn() -> S, requirement: impl Fn(Subject) -> R)
where
    S: Future<Output = Option<Subject>>,
    R: Future<Output = O>,
    O: Outcome,
{
    for _ in 0..ATTEMPTS {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            // Where a store is not to be had, it was said why.
            let subject = subject().await?;
            Some(requirement(subject).await)
        });
        if outcome.is_none_or(|outcome| outcome.counts()) {
            return;
        }
    }
    panic!("the machine has stalled {ATTEMPTS} times");
}

contract_of!(memory, crate::contract::subject::memory, with the minute);
contract_of!(memory_in_real_time, crate::contract::subject::memory_on_the_wall);
#[cfg(feature = "redis")]
contract_of!(redis, crate::contract::subject::redis);
contract_of!(your_own, crate::contract::subject::shelf, with the minute);

// It uses the macros above, so it stands below them.
mod broken;
