//! Store operations as jobs: the world decides when each takes effect and when its answer arrives.

use futures::FutureExt;
use futures::future::BoxFuture;
use idgen::{DeviceId, WorkerNumber};
use std::sync::Arc;
use storage::directory::{DeviceKey, Directory, Listed, Listing, Membership, UserInfo};
use storage::log::{Append, AppendOutcome, Log, Opened, ReadRange, SenderSlot, StoredEntry};
use storage::member::{Cursors, MemberRow};
use storage::presence::{PresenceEvents, RecordOutcome};
use storage::{ConversationKey, StoreError};
use tokio::sync::oneshot;

use crate::data::Data;
use crate::hub::{Hub, Out};
use crate::presence::Record;

/// Delivers an answer.
pub type Reply = Box<dyn FnOnce() + Send>;
type Run = Box<dyn FnOnce(&mut Data, Option<StoreError>) -> Reply + Send>;

/// One operation on its way to the store.
pub struct Job {
    /// For the trace.
    pub what: String,
    pub body: JobBody,
}

pub enum JobBody {
    Append(Box<Append>, oneshot::Sender<AppendOutcome>),
    Record(Record, oneshot::Sender<RecordOutcome>),
    /// An operation that changes something; given an error, it fails without an effect.
    Write(Run),
    Read(Run),
}

/// The store as one gateway sees it.
pub struct SimStore {
    pub hub: Arc<Hub>,
}

impl SimStore {
    pub fn ask<T: Send + 'static>(
        &self,
        what: String,
        write: bool,
        f: impl FnOnce(&mut Data) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (answer, outcome) = oneshot::channel();
        let run: Run = Box::new(move |data, error| {
            let result = match error {
                None => Ok(f(data)),
                Some(error) => Err(error),
            };
            Box::new(move || drop(answer.send(result)))
        });
        let body = if write { JobBody::Write(run) } else { JobBody::Read(run) };
        self.hub.put(Out::Job(Job { what, body }));
        outcome.map(|answer| answer.unwrap_or_else(|_| Err(gone()))).boxed()
    }
}

pub fn gone() -> StoreError {
    StoreError::Unavailable("the store is gone".into())
}

impl Log for SimStore {
    fn open<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<Opened, StoreError>> {
        let named = key.clone();
        self.ask(format!("open {key}"), true, move |data| data.open(&named))
    }

    fn append(&self, append: Append) -> BoxFuture<'_, AppendOutcome> {
        let (answer, outcome) = oneshot::channel();
        let first = append.expected_tip + 1;
        let last = append.expected_tip + append.entries.len() as u64;
        let what = format!("append {} #{first}..#{last} epoch {}", append.key, append.epoch);
        self.hub.put(Out::Job(Job { what, body: JobBody::Append(Box::new(append), answer) }));
        outcome.map(|answer| answer.unwrap_or_else(|_| AppendOutcome::Unknown(gone()))).boxed()
    }

    fn sender<'a>(
        &'a self,
        key: &'a ConversationKey,
        device: u64,
    ) -> BoxFuture<'a, Result<Vec<SenderSlot>, StoreError>> {
        let named = key.clone();
        self.ask(format!("ring {key}"), false, move |data| data.sender(&named, device))
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        range: ReadRange,
    ) -> BoxFuture<'a, Result<Vec<StoredEntry>, StoreError>> {
        let named = key.clone();
        let what = format!("read {key} #{}..#{}", range.first, range.last);
        self.ask(what, false, move |data| data.read(&named, range))
    }

    fn tip<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<u64, StoreError>> {
        let named = key.clone();
        self.ask(format!("tip {key}"), false, move |data| data.tip(&named))
    }
}

impl Directory for SimStore {
    fn device<'a>(
        &'a self,
        key: &'a DeviceKey,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>> {
        let named = key.clone();
        let what = format!("device {}/{}/{}", key.tenant, key.user, key.installation);
        self.ask(what, candidate.is_some(), move |data| data.device(&named, candidate))
    }

    fn last_device(&self, worker: WorkerNumber) -> BoxFuture<'_, Result<Option<DeviceId>, StoreError>> {
        self.ask("last device".into(), false, move |data| data.last_device(worker))
    }

    fn put_user<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        info: UserInfo,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        self.ask(format!("user {tenant}/{user}"), true, move |data| data.put_user(tenant, user, info))
    }

    fn users<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<UserInfo>>, StoreError>> {
        let (tenant, users) = (tenant.to_owned(), users.to_vec());
        self.ask("users".into(), false, move |data| data.users(&tenant, &users))
    }

    fn memberships<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Membership>, StoreError>> {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        self.ask(format!("memberships {tenant}/{user}"), false, move |data| data.memberships(&tenant, &user))
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        listing: Listing,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listed, StoreError>> {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        let what = format!("listed {tenant}/{user}");
        self.ask(what, false, move |data| data.listed(&tenant, &user, listing, limit))
    }

    fn member<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Option<Membership>, StoreError>> {
        let (named, user) = (key.clone(), user.to_owned());
        self.ask(format!("member {key} {user}"), false, move |data| data.member(&named, &user))
    }

    fn members<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<MemberRow>, StoreError>> {
        let (named, after) = (key.clone(), after.to_owned());
        self.ask(format!("members {key}"), false, move |data| data.members(&named, &after, limit))
    }

    fn cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Cursors>, StoreError>> {
        let (named, users) = (key.clone(), users.to_vec());
        let read = move |data: &mut Data| users.iter().map(|user| data.cursors_of(&named, user)).collect();
        self.ask(format!("cursors {key}"), false, read)
    }

    fn raise_cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
        to: Cursors,
    ) -> BoxFuture<'a, Result<Cursors, StoreError>> {
        let (named, user) = (key.clone(), user.to_owned());
        let what = format!("raise {key} {user} read {} delivered {}", to.read, to.delivered);
        self.ask(what, true, move |data| data.raise(&named, &user, to))
    }

    fn presence(&self) -> Option<&dyn PresenceEvents> {
        Some(self)
    }
}
