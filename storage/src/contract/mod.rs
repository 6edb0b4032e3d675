//! The suite that every backend passes: what [`Log`](crate::Log), [`Directory`](crate::Directory) and
//! [`Inventory`](crate::Inventory) promise, one case for each promise. A backend's test hands it a way to make stores and calls [`run`].
//!
//! | file | noun |
//! |---|---|
//! | `fixture` | a backend as the suite sees it, and short ways to say things to it |
//! | `append` | contract 1 to 5 and 7 of the log: conditions, fencing, what goes with an append |
//! | `read` | contract 6: ranges, limits, no hole, nothing past the tip |
//! | `directory` | devices, users, members, cursors |
//! | `presence` | the presence stream, where the backend keeps one |
//! | `inventory` | what a store holds, in pages |
//! | [`sample`] | a tenant with a little of everything, and whether two stores hold the same |
//! | `listing` | contract 4 of the directory: what has changed, in parts |
#![expect(clippy::unwrap_used, clippy::panic, reason = "a case fails by panicking, as tests do")]

mod append;
mod directory;
mod fixture;
mod inventory;
mod listing;
mod presence;
mod read;
pub mod sample;

use futures::future::BoxFuture;

pub use fixture::Fixture;

/// One promise, held against a store nobody has written to.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub run: for<'a> fn(&'a dyn Fixture) -> BoxFuture<'a, ()>,
}

macro_rules! cases {
    ($($module:ident: $($case:ident),+ $(,)?);+ $(;)?) => {
        /// Every case.
        pub const CASES: &[Case] = &[$($(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            run: |fixture| Box::pin($module::$case(fixture)),
        }),+),+];
    };
}

cases! {
    append:
        numbers_entries_from_one,
        is_refused_at_another_tip,
        is_refused_under_another_epoch,
        an_open_fences_whoever_held_the_log,
        an_open_settles_what_was_underway,
        one_of_many_at_the_same_tip_wins,
        an_empty_append_is_refused,
        carries_slots,
        slots_are_rewritten_in_turn,
        carries_members_and_info,
        nothing_of_a_refused_append_is_stored,
        raises_the_senders_sent_cursor,
        all_of_it_outlasts_a_reopen,
        epochs_rise_over_a_reopen,
        same_names_in_two_tenants_never_mix,
        a_recall_shows_in_what_it_takes_away;
    read:
        an_unknown_log_is_empty,
        forwards_and_backwards,
        is_bounded_by_entries_and_bytes,
        the_first_entry_comes_whatever_its_size,
        never_passes_the_tip_while_appends_run,
        neighbours_do_not_show;
    directory:
        a_device_keeps_its_id,
        one_of_many_candidates_wins,
        a_candidate_is_never_shared,
        the_last_device_of_a_worker,
        users_are_stored_and_replaced,
        a_login_stores_user_and_device,
        cursors_only_rise_in_any_order,
        cursors_come_in_the_order_asked,
        memberships_by_latest_activity,
        members_in_pages,
        unread_counts_what_is_shown;
    listing:
        the_latest_entry_first_in_parts,
        what_changed_and_no_more,
        large_conversations_are_listed_too,
        who_leaves_and_joins_again,
        a_version_of_the_future_is_the_first,
        changes_while_one_reads_are_found;
    presence:
        only_changes_are_recorded,
        whoever_took_the_log_last_writes,
        standings_and_events_outlast_a_reopen,
        the_oldest_events_go,
        who_is_present_in_pages,
        any_changes_give_what_the_model_says;
    inventory:
        conversations_in_pages,
        users_and_devices_in_pages,
        seats_of_members_and_others,
        slots_of_every_device,
        taking_stock_changes_nothing,
        active_members_are_listed;
}

/// Runs every case on a fresh fixture and returns how many there were. `begin` is told each name.
pub async fn run<F: Fixture>(mut fresh: impl FnMut() -> F, mut begin: impl FnMut(&str)) -> usize {
    for case in CASES {
        begin(case.name);
        (case.run)(&fresh()).await;
    }
    CASES.len()
}
