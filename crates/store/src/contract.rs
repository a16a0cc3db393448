//! What every store must do, as tests that run against any of them.
//!
//! [`crate::contract!`] makes one test per check. A check gets an empty store and asserts through
//! the trait alone.
//!
//! How to add a check: write `pub async fn name(store: Arc<dyn Store>)` in the module that it
//! belongs to, and name it in the list of [`crate::contract!`].

#![expect(clippy::unwrap_used, reason = "a check fails by panicking")]

pub mod concurrent;
pub mod counters;
pub mod log;
pub mod notices;
pub mod random;
pub mod read;
pub mod rollouts;
mod rows;
pub mod write;

/// Makes a test of every check. `$open` is an `async fn() -> (Arc<dyn Store>, T)` that makes an
/// empty store; `T` is kept as long as the store is used.
#[macro_export]
macro_rules! contract {
    ($open:path) => {
        $crate::contract!($open:
            write:
            an_empty_set_changes_nothing
            what_is_inserted_is_read_back
            inserting_what_is_there_is_refused
            updating_needs_the_version_that_was_read
            an_upsert_inserts_or_replaces
            deleting_what_is_not_there_spends_no_revision
            a_unique_value_is_taken_once
            a_unique_value_is_free_again_when_its_owner_lets_go
            a_set_may_swap_and_rotate_unique_values
            a_reference_must_lead_somewhere
            a_set_may_insert_a_child_before_its_parent
            what_is_referred_to_stays_when_the_rule_restricts
            a_set_may_delete_what_its_end_does_not_refer_to
            deleting_cascades_under_one_revision
            a_restriction_further_down_stops_a_cascade
            cascades_follow_the_order_of_operations
            cascades_end_in_circles
            a_set_leaves_one_change_per_entity
            a_refused_set_leaves_nothing
            references_and_their_rules_can_change
            texts_are_kept_to_the_letter
            long_values_are_unique_too
            a_large_set_is_one_revision;
            read:
            pages_follow_each_other
            referring_entities_are_listed
            keys_are_found_in_their_order
            tagged_entities_are_listed
            tags_are_listed
            referrers_are_found;
            log:
            the_log_tells_every_change_in_order
            the_log_never_splits_a_transaction
            a_compacted_log_says_so
            a_snapshot_is_the_state_at_its_cursor
            growth_wakes_those_who_wait
            revisions_are_found_by_time
            a_new_epoch_begins_once;
            counters:
            counters_add_up
            counters_are_forgotten_when_they_expire;
            notices:
            notices_are_read_by_round
            a_post_is_a_sign_of_life
            notices_of_the_silent_are_cleared;
            concurrent:
            a_unique_value_has_one_winner
            a_version_is_updated_once
            parents_do_not_vanish_under_their_children
            a_crowd_leaves_everything_consistent
            a_reader_of_the_log_misses_nothing;
            rollouts:
            what_was_before_a_rollout_is_kept
            what_was_before_does_not_depend_on_the_log
            one_rollout_is_open_at_a_time
            a_rollout_ends_only_as_it_was_seen
            a_rollout_is_a_revision_of_its_own
            a_crowd_writes_while_rollouts_come_and_go;
            random:
            random_sets_do_what_the_model_says;
        );
    };
    ($open:path: $($module:ident: $($check:ident)+;)+) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                let (store, _kept) = $open().await;
                $crate::contract::$module::$check(store).await;
            }
        )+)+
    };
}
