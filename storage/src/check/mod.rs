//! Whether what a store holds keeps its promises: entries without a hole, one seq for one send, cursors within the log,
//! counts and lists that agree with it. Nothing is changed and no log is taken over, so it may run beside a gateway.
//!
//! | file | noun |
//! |---|---|
//! | `finding` | what may be wrong, each with its code |
//! | `report` | where findings and progress go; which errors are findings |
//! | `conversation` | one conversation: what is read, in which order |
//! | `entries` | its entries, past those that cannot be read |
//! | `people` | members, cursors, counts, held against the entries (pure) |
//! | `senders` | ids and slots of sends (pure) |
//! | `changes` | edits and recalls, and what they have made of others (pure) |
//!
//! # While others write
//! Everything that names entries is read before the entries themselves, so what is named must be there. What may have
//! moved on in between is asked again before it becomes a finding.
//!
//! # What retention has taken
//! An entry that has outlived its time is no finding, and neither is what refers to it. Counts and members of such a
//! conversation are not recounted, for what they follow from is gone.
//!
//! # Memory
//! A check holds the members of one conversation, as its owner does, and what it tracks of [`MAX_TRACKED`] entries. A
//! longer log is read several times, a part of the sends and changes being tracked each time.

mod changes;
mod conversation;
mod entries;
mod finding;
mod people;
mod report;
mod senders;

pub use finding::{Fault, Finding};
pub use report::{Checked, News, Tell};

use crate::Store;
use crate::error::StoreError;
use crate::inventory::{Held, MAX_ROWS, Marker, Page};
use crate::key::ConversationKey;
use report::Report;

/// Entries of a conversation whose sends and changes are tracked at once; about 100 bytes each.
pub const MAX_TRACKED: u64 = 1 << 19;

/// What is to be checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `None`: all.
    pub tenant: Option<String>,
    /// Of `tenant`; `None`: all of them.
    pub conversation: Option<String>,
    /// The first seq. What needs the whole log (counts, members, sends outside the range) is checked only if the range
    /// is 1 to `u64::MAX`.
    pub first: u64,
    /// The last seq.
    pub last: u64,
}

impl Scope {
    /// Everything in the store.
    pub fn all() -> Scope {
        Scope { tenant: None, conversation: None, first: 1, last: u64::MAX }
    }

    /// Everything of a tenant.
    pub fn tenant(tenant: impl Into<String>) -> Scope {
        Scope { tenant: Some(tenant.into()), ..Scope::all() }
    }

    /// One conversation.
    pub fn conversation(key: &ConversationKey) -> Scope {
        Scope { conversation: Some(key.conversation.to_string()), ..Scope::tenant(&*key.tenant) }
    }

    fn is_whole(&self) -> bool {
        self.first <= 1 && self.last == u64::MAX
    }

    fn key(&self) -> Option<ConversationKey> {
        Some(ConversationKey::new(self.tenant.as_deref()?, self.conversation.as_deref()?))
    }
}

/// Checks, and says what was. Findings are told one by one; an error says that the store did not answer, and nothing of
/// what it holds.
pub async fn check(store: &dyn Store, scope: &Scope, tell: &mut Tell<'_>) -> Result<Checked, StoreError> {
    check_in_shares(store, scope, MAX_TRACKED, tell).await
}

/// The same, tracking `tracked` entries at once.
pub(crate) async fn check_in_shares(
    store: &dyn Store,
    scope: &Scope,
    tracked: u64,
    tell: &mut Tell<'_>,
) -> Result<Checked, StoreError> {
    let mut report = Report::new(tell, tracked);
    if let Some(key) = scope.key() {
        conversation::check(store, &key, scope, &mut report).await?;
        return Ok(report.checked);
    }
    let mut after = None;
    loop {
        let page = store.inventory().all_conversations(scope.tenant.as_deref(), after, MAX_ROWS).await;
        let Some(page) = report.page("the list of conversations", page)? else { break };
        for held in page.rows {
            conversation::check(store, &held.key, scope, &mut report).await?;
        }
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    names(store, scope, &mut report).await?;
    Ok(report.checked)
}

/// Users and devices: their rows are read.
async fn names(store: &dyn Store, scope: &Scope, report: &mut Report<'_, '_>) -> Result<(), StoreError> {
    let tenant = scope.tenant.as_deref();
    let mut after: Option<Marker> = None;
    while let Some(page) =
        report.page("the list of users", store.inventory().all_users(tenant, after, MAX_ROWS).await)?
    {
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    let mut after: Option<Marker> = None;
    while let Some(page) =
        report.page("the list of devices", store.inventory().all_devices(tenant, after, MAX_ROWS).await)?
    {
        let Some(next) = page.next else { break };
        after = Some(next);
    }
    Ok(())
}

/// How many conversations and entries there are to check, as far as it can be told.
pub async fn size(store: &dyn Store, scope: &Scope) -> Result<(u64, u64), StoreError> {
    let within = |tip: u64| scope.last.min(tip).saturating_add(1).saturating_sub(scope.first.max(1));
    if let Some(key) = scope.key() {
        // A tip that cannot be read is found by the check.
        return Ok((1, store.tip(&key).await.map_or(0, within)));
    }
    let (mut conversations, mut entries, mut after) = (0, 0, None);
    loop {
        let page: Page<Held> =
            match store.inventory().all_conversations(scope.tenant.as_deref(), after, MAX_ROWS).await {
                Ok(page) => page,
                Err(StoreError::Corrupt(_)) => return Ok((conversations, entries)),
                Err(error) => return Err(error),
            };
        conversations += page.rows.len() as u64;
        entries = page.rows.iter().fold(entries, |sum: u64, held| sum.saturating_add(within(held.tip)));
        let Some(next) = page.next else { return Ok((conversations, entries)) };
        after = Some(next);
    }
}
