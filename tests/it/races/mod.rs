//! What happens to sessions when much happens at once: a thousand rounds of each race, on each store,
//! by sessions as handlers hold them and by requests over sockets. Nothing may be lost, not once.

pub mod ground;

mod deaths;
mod eviction;
mod logins;
mod storm;
mod writes;

/// Gives another macro all races, by the files that they stand in.
macro_rules! races {
    ($with:ident $given:tt) => {
        $with! { $given
            writes:
                writes_of_different_names_all_survive
                updates_of_one_counter_all_count
                of_those_who_take_a_message_one_gets_it;
            deaths:
                who_is_late_for_a_logout_brings_nothing_back
                who_is_late_for_a_rotation_writes_nowhere
                a_logout_finds_the_session_wherever_it_is_rotated_to
                an_expired_session_is_dead_for_all_from_one_moment_on;
            logins:
                two_who_log_in_with_one_id_are_both_logged_in
                who_ends_all_sessions_of_a_user_misses_none
                who_ends_all_other_sessions_misses_none_and_keeps_this
                who_ends_all_other_sessions_keeps_this_wherever_it_is_rotated_to
                nobody_has_more_sessions_than_the_limit_once_it_is_quiet;
        }
    };
}

/// Those that ask the store itself, wherever it is asked from.
macro_rules! races_of_a_store {
    ($with:ident $given:tt) => {
        $with! { $given
            storm:
                a_dead_key_stays_dead_under_every_operation_at_once;
        }
    };
}

/// Those about a store that is full, which Redis does not know.
macro_rules! races_for_room {
    ($with:ident $given:tt) => {
        $with! { $given
            eviction:
                a_full_store_loses_nothing_of_the_sessions_that_stay;
        }
    };
}

/// A test for each race.
macro_rules! tests {
    (($site:expr) $($file:ident: $($race:ident)*;)*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $race() {
                if $site.is_there() {
                    $crate::races::$file::$race($site).await;
                }
            }
        )*)*
    };
}

mod memory_directly {
    use super::ground::Site;

    races!(tests(Site::MemoryDirectly));
    races_of_a_store!(tests(Site::MemoryDirectly));
    races_for_room!(tests(Site::MemoryDirectly));
}

mod memory_far_away {
    use super::ground::Site;

    races!(tests(Site::FarDirectly));
    races_of_a_store!(tests(Site::FarDirectly));
    races_for_room!(tests(Site::FarDirectly));
}

mod memory_over_sockets {
    use super::ground::Site;

    races!(tests(Site::MemoryOverSockets));
    races_for_room!(tests(Site::MemoryOverSockets));
}

#[cfg(feature = "redis")]
mod redis_directly {
    use super::ground::Site;

    races!(tests(Site::RedisDirectly));
    races_of_a_store!(tests(Site::RedisDirectly));
}

#[cfg(feature = "redis")]
mod redis_over_sockets {
    use super::ground::Site;

    races!(tests(Site::RedisOverSockets));
}
