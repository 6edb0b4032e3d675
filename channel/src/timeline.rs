//! AskTimeline: what became of one message. Derived from the log and the cursors; times from samples in memory.

use std::sync::Arc;

use prost::Message as _;
use protocol::check;
use protocol::check::Refused;
use protocol::code::Code;
use protocol::limit::{MAX_FRAME_BYTES, MAX_PAGE_ROWS};
use protocol::node::v1::Identity;
use protocol::v1::{AskTimeline, Message, Role, Timeline, TimelineMember, TimelinePush};
use storage::log::ReadRange;
use storage::{ConversationKey, Store};

use crate::history::entitled;
use crate::owners::task_of;
use crate::reply::refused_by_store;
use crate::samples::{MarkSample, Samples};

/// Makes timelines.
pub struct Timelines {
    store: Arc<dyn Store>,
    /// One for each slot task.
    samples: Vec<Arc<Samples>>,
}

impl Timelines {
    pub fn new(store: Arc<dyn Store>, tasks: usize, now_ms: i64) -> Timelines {
        Timelines { store, samples: (0..tasks.max(1)).map(|_| Arc::new(Samples::new(now_ms))).collect() }
    }

    /// What each slot task writes to.
    pub fn samples(&self) -> &[Arc<Samples>] {
        &self.samples
    }

    /// For a device: of the sender, or of an owner or agent who may see the message.
    pub async fn for_device(&self, me: &Identity, asked: AskTimeline) -> Result<Timeline, Refused> {
        check::conversation(&asked.conversation)?;
        let key = ConversationKey::new(me.tenant.as_str(), asked.conversation.as_str());
        let mine = entitled(&*self.store, &key, &me.user).await?.member;
        if !mine.is_active() || !mine.may_see(asked.seq) {
            return Err(Code::NOT_FOUND.into());
        }
        let message = self.message(&key, asked.seq).await?;
        if message.sender != me.user && !matches!(mine.role, Role::Owner | Role::Agent) {
            return Err(Code::NOT_ALLOWED.into());
        }
        self.of(&key, asked.seq, message, &asked.after).await
    }

    /// For the operator, who may see all.
    pub async fn for_operator(
        &self,
        tenant: &str,
        conversation: &str,
        seq: u64,
        after: &str,
    ) -> Result<Timeline, Refused> {
        check::tenant(tenant)?;
        check::conversation(conversation)?;
        let key = ConversationKey::new(tenant, conversation);
        let message = self.message(&key, seq).await?;
        self.of(&key, seq, message, after).await
    }

    async fn of(
        &self,
        key: &ConversationKey,
        seq: u64,
        message: Message,
        after: &str,
    ) -> Result<Timeline, Refused> {
        if !after.is_empty() {
            check::user(after)?;
        }
        let samples = &self.samples[task_of(key, self.samples.len())];
        let push = samples.push_of(key, seq);
        let mut timeline = Timeline {
            conversation: key.conversation.to_string(),
            seq,
            received_ms: message.at_ms,
            sampled: push.is_some(),
            ..Timeline::default()
        };
        if let Some(push) = push {
            let at_ms = push.at_ms;
            timeline.committed_ms = at_ms;
            timeline.pushed = push.pushed;
            let row = |(user, device_id): (Arc<str>, u64)| TimelinePush {
                user: user.to_string(),
                device_id,
                at_ms,
            };
            timeline.pushes = push.devices.into_iter().map(row).collect();
        }
        let marks = samples.marks_of(key, message.at_ms);
        self.add_members(key, &message.sender, after, &marks, &mut timeline).await?;
        timeline.sender = message.sender;
        Ok(timeline)
    }

    async fn add_members(
        &self,
        key: &ConversationKey,
        sender: &str,
        after: &str,
        marks: &[MarkSample],
        timeline: &mut Timeline,
    ) -> Result<(), Refused> {
        let mut rows = self.store.members(key, after, MAX_PAGE_ROWS + 1).await.map_err(refused_by_store)?;
        if rows.len() > MAX_PAGE_ROWS {
            rows.truncate(MAX_PAGE_ROWS);
            timeline.next_after = rows.last().map(|row| row.user.clone()).unwrap_or_default();
        }
        rows.retain(|row| row.user != sender && row.may_see(timeline.seq));
        let users: Vec<String> = rows.into_iter().map(|row| row.user).collect();
        let cursors = self.store.cursors(key, &users).await.map_err(refused_by_store)?;
        let seq = timeline.seq;
        timeline.members = users
            .into_iter()
            .zip(cursors)
            .map(|(user, cursors)| {
                let read = cursors.read >= seq;
                TimelineMember {
                    // Who has read it has got it.
                    delivered: read || cursors.delivered >= seq,
                    read,
                    delivered_ms: reached(marks, &user, |mark| mark.delivered.max(mark.read), seq),
                    read_ms: reached(marks, &user, |mark| mark.read, seq),
                    user,
                }
            })
            .collect();
        Ok(())
    }

    async fn message(&self, key: &ConversationKey, seq: u64) -> Result<Message, Refused> {
        if seq == 0 {
            return Err(check::invalid("seq is 0; what is not stored has no timeline"));
        }
        let range =
            ReadRange { first: seq, last: seq, backwards: false, max_entries: 1, max_bytes: MAX_FRAME_BYTES };
        let read = self.store.read(key, range).await.map_err(refused_by_store)?;
        let entry = read.into_iter().next().ok_or(Code::NOT_FOUND)?;
        Message::decode(entry.payload).map_err(|_| Code::CORRUPT.into())
    }
}

/// When a user's cursor came to `seq` or beyond; 0 if no mark that is remembered tells.
fn reached(marks: &[MarkSample], user: &str, cursor: impl Fn(&MarkSample) -> u64, seq: u64) -> i64 {
    let mut own = marks.iter().filter(|mark| mark.user == user);
    own.find(|mark| cursor(mark) >= seq).map_or(0, |mark| mark.at_ms)
}

const _: () = assert!(
    MAX_PAGE_ROWS * (protocol::limit::MAX_USER_BYTES + 40)
        + crate::samples::DEVICES_KEPT * (protocol::limit::MAX_USER_BYTES + 40)
        + 1024
        < MAX_FRAME_BYTES
);
