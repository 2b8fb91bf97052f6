//! Races for sessions: a thousand rounds of each race, on each store, through `Session` and by
//! requests over sockets. A single lost update fails the test.

pub mod fixture;

mod endings;
mod eviction;
mod logins;
mod storm;
mod writes;

/// Calls another macro with the names of all races, grouped by file.
macro_rules! races {
    ($with:ident $given:tt) => {
        $with! { $given
            writes:
                writes_of_different_names_all_survive
                updates_of_one_counter_all_count
                a_message_is_taken_by_exactly_one_request;
            endings:
                a_request_after_a_logout_does_not_revive_the_session
                a_request_with_a_rotated_id_writes_nothing
                a_logout_follows_concurrent_rotations
                a_session_expires_for_all_requests_at_the_same_moment;
            logins:
                concurrent_logins_with_the_same_id_both_succeed
                revoking_all_sessions_of_a_user_misses_none
                revoking_other_sessions_misses_none_and_keeps_this
                revoking_other_sessions_keeps_this_through_rotations
                a_user_ends_up_within_the_session_limit;
        }
    };
}

/// Races that call the store itself.
macro_rules! races_of_a_store {
    ($with:ident $given:tt) => {
        $with! { $given
            storm:
                an_ended_session_stays_ended_under_concurrent_operations;
        }
    };
}

/// Races in a full store. Redis is left out, because its memory limit is not set by the store.
macro_rules! races_of_a_full_store {
    ($with:ident $given:tt) => {
        $with! { $given
            eviction:
                a_full_store_loses_nothing_of_the_sessions_that_stay;
        }
    };
}

/// Defines a test for each race.
macro_rules! tests {
    (($backend:expr) $($file:ident: $($race:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $race() {
                if $backend.is_available() {
                    $crate::races::$file::$race($backend).await;
                }
            }
        )*)*
    };
}

mod memory_directly {
    use super::fixture::Backend;

    races!(tests(Backend::MemoryDirectly));
    races_of_a_store!(tests(Backend::MemoryDirectly));
    races_of_a_full_store!(tests(Backend::MemoryDirectly));
}

mod slow_memory {
    use super::fixture::Backend;

    races!(tests(Backend::SlowDirectly));
    races_of_a_store!(tests(Backend::SlowDirectly));
    races_of_a_full_store!(tests(Backend::SlowDirectly));
}

mod memory_over_sockets {
    use super::fixture::Backend;

    races!(tests(Backend::MemoryOverSockets));
    races_of_a_full_store!(tests(Backend::MemoryOverSockets));
}

#[cfg(feature = "redis")]
mod redis_directly {
    use super::fixture::Backend;

    races!(tests(Backend::RedisDirectly));
    races_of_a_store!(tests(Backend::RedisDirectly));
}

#[cfg(feature = "redis")]
mod redis_over_sockets {
    use super::fixture::Backend;

    races!(tests(Backend::RedisOverSockets));
}
