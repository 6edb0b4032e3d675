//! The presence stream: who came online, went away or offline, as one durable, ordered log per tenant. The trait is
//! the contract.

use futures::future::BoxFuture;

use crate::error::StoreError;

/// Events of one tenant that are kept: a reader that is further behind learns so from [`EventPage::first_kept`].
pub const EVENTS_KEPT: u64 = 65_536;
/// Most events of one [`PresenceEvents::events`].
pub const MAX_EVENTS: usize = 1_000;

/// What a user is. Ordered: a user is as present as the most present device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum PresenceState {
    #[default]
    Offline = 1,
    Away = 2,
    Online = 3,
}

/// A change to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceChange {
    pub user: String,
    pub state: PresenceState,
    /// When the state began, milliseconds since 1970.
    pub at_ms: i64,
}

/// A recorded change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceEvent {
    /// 1, 2, 3 … within the tenant.
    pub seq: u64,
    pub user: String,
    pub state: PresenceState,
    pub at_ms: i64,
    /// Of the writer: never falls from one event to the next.
    pub epoch: u64,
}

/// What the log says of one user now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub state: PresenceState,
    /// When that began; for a user who is offline: last seen.
    pub since_ms: i64,
    /// The event that said so.
    pub seq: u64,
}

/// A part of a tenant's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// Events before this one are gone; 1 while all are kept.
    pub first_kept: u64,
    /// The latest event; 0 if there is none.
    pub tip: u64,
    /// Ascending, without a hole, from `max(after + 1, first_kept)`.
    pub events: Vec<PresenceEvent>,
}

/// A user's full name: tenant and user.
pub type UserName = (String, String);

/// Users who are not offline, and where to look further; `None` at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresentPage {
    pub users: Vec<(UserName, Standing)>,
    pub next: Option<UserName>,
}

/// What became of a [`PresenceEvents::record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// On stable storage; the log ends here.
    Applied { tip: u64 },
    /// Somebody else has taken the log over; nothing was recorded.
    Conflict,
    /// Nothing was recorded and never will be.
    Refused(StoreError),
    /// Perhaps recorded. Recording the same changes again does no harm.
    Unknown(StoreError),
}

/// The presence logs of all tenants.
///
/// # Contract
/// 1. `record` is applied whole under the epoch of the latest `take`, and changes nothing under any other.
/// 2. Only changes are recorded: a change to the state in which the user is already is left out, so that two
///    neighbouring events of one user always differ, and recording twice is recording once.
/// 3. `Applied` is answered after the events and the users' standings are on stable storage; a read begun after that
///    sees them.
/// 4. The latest [`EVENTS_KEPT`] events of a tenant can be read; standings are kept for good.
pub trait PresenceEvents: Send + Sync + 'static {
    /// Takes a tenant's log over; the epoch that its writer brings from now on. Higher than any before it.
    fn take<'a>(&'a self, tenant: &'a str) -> BoxFuture<'a, Result<u64, StoreError>>;

    /// Records changes in this order.
    fn record<'a>(
        &'a self,
        tenant: &'a str,
        epoch: u64,
        changes: Vec<PresenceChange>,
    ) -> BoxFuture<'a, RecordOutcome>;

    /// Events after the seq `after`, at most `limit` and at most [`MAX_EVENTS`].
    fn events<'a>(
        &'a self,
        tenant: &'a str,
        after: u64,
        limit: usize,
    ) -> BoxFuture<'a, Result<EventPage, StoreError>>;

    /// What is known of users, in the order asked; `None` for one who was never recorded.
    fn standings<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<Standing>>, StoreError>>;

    /// Users of all tenants who are not offline, in an order that stays, looking at up to `rows` users after `after`.
    fn present(&self, after: Option<UserName>, rows: usize)
    -> BoxFuture<'_, Result<PresentPage, StoreError>>;

    /// Notes that a node was alive at `at_ms`: users who were online on it and are not any more were last seen then.
    fn beat(&self, node: u64, at_ms: i64) -> BoxFuture<'_, Result<(), StoreError>>;

    /// The node's latest beat.
    fn last_beat(&self, node: u64) -> BoxFuture<'_, Result<Option<i64>, StoreError>>;
}
