//! The contract suite: the requirements of `src/session/store.rs`, tested through the `Store`
//! trait alone on every store. To test a store of your own, add one line at the end of this
//! file.
//!
//! In reading order: the reference implementation (`reference_store`), the fixture
//! (`store_under_test`), the requirements (`values` to `counting`, and `rotation_grace`), and
//! mutation tests of the suite itself (`mutants`).

use tokio::runtime::Builder;

pub mod counting;
mod ends;
mod reference_store;
mod rotation_grace;
mod rotations;
mod store_under_test;
mod users;
mod values;
mod visits;

use store_under_test::{Stalled, StoreUnderTest};

/// Calls another macro with the names of all requirements, grouped by file.
macro_rules! requirements {
    ($with:ident $given:tt) => {
        $with! { $given
            values:
                a_session_is_created_with_one_value
                a_key_that_is_taken_is_left_alone
                a_value_is_what_was_set_last
                a_name_that_was_not_set_has_no_value
                a_removed_value_is_returned_once
                a_value_is_swapped_only_if_it_is_what_was_expected
                one_of_many_concurrent_swaps_succeeds
                a_cleared_session_stays_live_without_values
                sessions_do_not_share_values
                any_text_is_a_name_and_any_is_a_value
                names_that_a_store_might_use_itself_are_like_any_other
                ten_kibibytes_are_a_value
                a_value_that_is_too_large_changes_nothing
                removed_values_free_their_bytes;
            ends:
                a_key_that_was_never_created_accepts_nothing
                a_session_that_was_destroyed_accepts_nothing
                a_session_past_its_idle_timeout_accepts_nothing
                a_session_past_its_absolute_timeout_accepts_nothing
                an_unused_session_expires_at_its_idle_timeout
                every_operation_is_use
                listing_the_sessions_of_a_user_is_not_use
                a_busy_session_expires_at_its_absolute_timeout
                sessions_of_one_store_may_have_different_lifetimes
                a_sweep_removes_expired_sessions_and_no_others
                a_swept_session_accepts_nothing;
            visits:
                a_visit_returns_the_requested_value
                a_visit_with_an_unknown_key_finds_and_creates_nothing
                a_visit_renews_the_cookie_after_a_tenth_of_the_idle_timeout
                only_a_visit_renews_the_cookie
                one_of_many_concurrent_visits_renews_the_cookie
                a_rotation_restarts_the_renew_interval
                max_age_is_a_little_longer_than_the_idle_timeout
                max_age_ends_at_the_absolute_timeout;
            rotations:
                a_rotation_keeps_the_values
                a_rotated_key_accepts_nothing
                a_visit_with_a_rotated_key_returns_moved
                a_rotation_does_not_change_the_timeouts
                a_rotation_may_change_the_lifetime
                a_rotation_may_shorten_the_lifetime
                rotating_an_unknown_key_creates_nothing
                a_session_under_the_new_key_is_overwritten
                destroying_a_rotated_key_ends_its_successor
                destroying_a_key_follows_all_its_rotations
                destroying_a_rotated_key_does_nothing_after_the_session_ended
                successors_lists_the_keys_after_a_rotation
                a_rotation_does_not_affect_other_sessions
                a_rotation_keeps_the_user;
            users:
                sessions_of_lists_a_users_sessions_the_latest_login_first
                the_list_is_ordered_by_login_and_not_by_age
                a_rotation_with_a_lifetime_counts_as_a_login
                a_session_without_the_username_leaves_the_list
                a_session_that_gets_its_user_back_is_listed_again
                an_expired_session_is_not_listed
                any_text_is_a_user
                the_list_has_the_last_client_address
                the_list_has_the_device
                the_list_has_the_age_and_the_idle_time
                sessions_over_limit_are_the_oldest_logins
                sessions_over_limit_are_all_live;
            counting:
                a_new_store_has_counted_nothing
                each_event_is_counted_once
                reading_and_writing_are_not_counted
                an_expiry_is_counted_once_whichever_operation_finds_it
                the_counters_add_up_after_random_operations;
        }
    };
}

/// The requirements that wait for
/// [`ROTATION_GRACE`](dustdevil::session::store::ROTATION_GRACE), a minute. They run only on
/// stores with a paused clock.
macro_rules! requirements_of_rotation_grace {
    ($with:ident $given:tt) => {
        $with! { $given
            rotation_grace:
                a_visit_returns_moved_during_the_grace_period
                destroy_follows_a_rotation_during_the_grace_period
                each_rotation_has_its_own_grace_period
                destroy_follows_repeated_rotations_within_the_grace_period;
        }
    };
}

/// Defines a test for each requirement.
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

/// Runs the suite on a store: a module name, and the function that creates a new store under
/// test.
macro_rules! contract_of {
    ($store:ident, $subject:path) => {
        mod $store {
            requirements!(tests($subject));
        }
    };
    ($store:ident, $subject:path, with rotation grace) => {
        mod $store {
            requirements!(tests($subject));
            requirements_of_rotation_grace!(tests($subject));
        }
    };
}

/// The result of a requirement.
trait Outcome {
    /// Returns `true` if the run is valid. A run in which the machine stalled is repeated.
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

/// Maximum number of runs of a requirement on a machine that stalls.
const ATTEMPTS: u32 = 50;

/// Runs a requirement on new stores until a run is valid. Each run has its own runtime, and so
/// its own tokio clock.
fn prove<S, R, O>(subject: impl Fn() -> S, requirement: impl Fn(StoreUnderTest) -> R)
where
    S: Future<Output = Option<StoreUnderTest>>,
    R: Future<Output = O>,
    O: Outcome,
{
    for _ in 0..ATTEMPTS {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            // `None` if the store is not installed; `find_program` has printed why.
            let subject = subject().await?;
            Some(requirement(subject).await)
        });
        if outcome.is_none_or(|outcome| outcome.counts()) {
            return;
        }
    }
    panic!("the machine has stalled {ATTEMPTS} times");
}

contract_of!(memory, crate::contract::store_under_test::memory, with rotation grace);
contract_of!(memory_in_real_time, crate::contract::store_under_test::memory_on_wall_clock);
#[cfg(feature = "redis")]
contract_of!(redis, crate::contract::store_under_test::redis);
contract_of!(your_own, crate::contract::store_under_test::reference, with rotation grace);

// A macro must be defined above its use, so this module is declared last.
mod mutants;
