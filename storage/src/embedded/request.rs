//! What the writer is asked, and how it answers.

use idgen::DeviceId;
use tokio::sync::oneshot;

use super::group::Group;
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome};
use crate::member::Cursors;
use crate::presence::{PresenceChange, RecordOutcome};

/// Where an answer goes. Nobody may be listening any more; what was asked is done all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Bytes of a request beside its payloads: names, rows, the queue's own.
const REQUEST_BYTES: usize = 512;

pub(super) enum Request {
    Append(Append, oneshot::Sender<AppendOutcome>),
    Fence(ConversationKey, Reply<u64>),
    Raise {
        key: ConversationKey,
        user: String,
        to: Cursors,
        reply: Reply<Cursors>,
    },
    Device {
        key: DeviceKey,
        candidate: DeviceId,
        /// What to store of its user in the same commit.
        info: Option<UserInfo>,
        reply: Reply<DeviceId>,
    },
    User {
        tenant: String,
        user: String,
        info: UserInfo,
        reply: Reply<()>,
    },
    TakePresence {
        tenant: String,
        reply: Reply<u64>,
    },
    Record {
        tenant: String,
        epoch: u64,
        changes: Vec<PresenceChange>,
        reply: oneshot::Sender<RecordOutcome>,
    },
    Beat {
        node: u64,
        at_ms: i64,
        reply: Reply<()>,
    },
    /// Finish what came before and end.
    Close,
}

/// Sends an answer, once it is known whether the group was committed.
pub(super) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

impl Request {
    /// About how much memory it holds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(append, _) => {
                let entries = append.entries.iter().map(|entry| entry.payload.len() + REQUEST_BYTES);
                entries.sum::<usize>() + (append.members.len() + 1) * REQUEST_BYTES
            }
            Self::Record { changes, .. } => (changes.len() + 1) * REQUEST_BYTES,
            _ => REQUEST_BYTES,
        }
    }

    /// Adds it to a group.
    pub(super) fn perform(self, group: &mut Group<'_>) -> Answer {
        match self {
            Self::Append(append, reply) => outcome(reply, group.append(&append)),
            Self::Fence(key, reply) => answer(reply, group.fence(&key)),
            Self::Raise { key, user, to, reply } => answer(reply, group.raise(&key, &user, to)),
            Self::Device { key, candidate, info, reply } => {
                let stored = info.map_or(Ok(()), |info| group.user(&key.tenant, &key.user, &info));
                answer(reply, stored.and_then(|()| group.device(&key, candidate)))
            }
            Self::User { tenant, user, info, reply } => answer(reply, group.user(&tenant, &user, &info)),
            Self::TakePresence { tenant, reply } => answer(reply, group.take_presence(&tenant)),
            Self::Record { tenant, epoch, changes, reply } => {
                recorded(reply, group.record(&tenant, epoch, &changes))
            }
            Self::Beat { node, at_ms, reply } => {
                group.beat(node, at_ms);
                answer(reply, Ok(()))
            }
            Self::Close => Box::new(|_| ()),
        }
    }

    /// Nothing of it is done, now or later.
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Append(_, reply) => _ = reply.send(AppendOutcome::Refused(error)),
            Self::Fence(_, reply) => _ = reply.send(Err(error)),
            Self::Raise { reply, .. } => _ = reply.send(Err(error)),
            Self::Device { reply, .. } => _ = reply.send(Err(error)),
            Self::User { reply, .. } => _ = reply.send(Err(error)),
            Self::TakePresence { reply, .. } => _ = reply.send(Err(error)),
            Self::Record { reply, .. } => _ = reply.send(RecordOutcome::Refused(error)),
            Self::Beat { reply, .. } => _ = reply.send(Err(error)),
            Self::Close => {}
        }
    }
}

/// An append of a group that failed is perhaps stored. One that was to be refused still is not, but the tip that
/// a conflict names may be among what failed.
fn outcome(reply: oneshot::Sender<AppendOutcome>, outcome: AppendOutcome) -> Answer {
    Box::new(move |committed| {
        let outcome = match (committed, outcome) {
            (Ok(()), outcome) => outcome,
            (Err(error), AppendOutcome::Applied) => AppendOutcome::Unknown(error),
            (Err(error), _) => AppendOutcome::Refused(error),
        };
        _ = reply.send(outcome);
    })
}

/// Like an append: what a failed group was to record is perhaps recorded.
fn recorded(reply: oneshot::Sender<RecordOutcome>, outcome: RecordOutcome) -> Answer {
    Box::new(move |committed| {
        let outcome = match (committed, outcome) {
            (Ok(()), outcome) => outcome,
            (Err(error), RecordOutcome::Applied { .. }) => RecordOutcome::Unknown(error),
            (Err(error), _) => RecordOutcome::Refused(error),
        };
        _ = reply.send(outcome);
    })
}

fn answer<T: Send + 'static>(reply: Reply<T>, value: Result<T, StoreError>) -> Answer {
    Box::new(move |committed| _ = reply.send(committed.and(value)))
}
