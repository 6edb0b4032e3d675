//! A conversation's owner: numbers its messages, decides who gets them. Pure: events and the time in, actions out.
//!
//! A request that becomes a log entry waits in a queue and is decided when the next batch is made: then every
//! earlier entry has its seq, so members, retries, predecessors and the tip are looked up as they are after all
//! earlier accepted entries, those of the same batch included. What the decisions were is told when the batch has
//! settled, in the order of the requests: an answer never rests on an entry that may yet be refused.
//!
//! What is not stored (signals, marks, messages with `no_store`) is served on arrival, by the committed state.
//!
//! | file | noun |
//! |---|---|
//! | [`event`], [`action`] | inputs and outputs |
//! | `accept` | a request arrives |
//! | `queue` | requests that wait for the next batch |
//! | `sender`, `ring` | devices and their latest sends, to recognise retries |
//! | `flush` | the queue becomes a batch |
//! | `batch` | entries with their seqs, and the answers they owe |
//! | `target` | what edits and recalls refer to, and who may change it |
//! | `send`, `change` | one message, one change of members becomes entries |
//! | `outcome` | what became of the batch |
//! | `live`, `marks` | what is not stored; cursors on their way through the store |
//! | `members` | who is and was a member |
//! | `weight` | how much memory it takes |

mod accept;
pub mod action;
mod batch;
mod change;
pub mod event;
mod flush;
mod live;
mod marks;
mod members;
mod outcome;
mod queue;
mod ring;
mod send;
mod sender;
mod target;
pub mod weight;

use protocol::check::Refused;
use protocol::code::Code;
use protocol::names;
use protocol::v1::ConversationInfo;
use protocol::v1::server_frame::Body as Answer;
use storage::ConversationKey;
use storage::log::Opened;

use self::action::Action;
use self::batch::Batch;
use self::event::{Event, ReplyTo};
use self::marks::Marks;
use self::members::Members;
pub use self::members::Users;
use self::queue::Queue;
pub use self::queue::{MAX_PENDING, MAX_PENDING_BYTES};
pub use self::sender::MAX_SENDERS;
use self::sender::Senders;
use self::target::Targets;
pub use self::target::{MAX_LOADED, MAX_RECENT};

/// Most members of a conversation whose cursors are told to each other.
pub const MAX_MEMBERS_TOLD_CURSORS: usize = 100;
/// Most Marks of one conversation that are on their way through the store.
pub const MAX_MARKS: usize = 256;

/// One conversation, owned by this node since its log was opened.
pub struct Conversation {
    key: ConversationKey,
    epoch: u64,
    /// Committed.
    tip: u64,
    info: Option<ConversationInfo>,
    /// Committed.
    members: Members,
    senders: Senders,
    targets: Targets,
    queue: Queue,
    phase: Phase,
    /// Batches made since the log was opened.
    batches: u64,
    marks: Marks,
}

enum Phase {
    Idle,
    Appending(Box<Batch>),
    /// The outcome of this batch is unknown, and the log is being opened again.
    Reopening(Box<Batch>),
    Dropped,
}

impl Conversation {
    /// The owner of a log that was just opened.
    pub fn new(key: ConversationKey, opened: Opened) -> Conversation {
        Conversation {
            key,
            epoch: opened.epoch,
            tip: opened.tip,
            info: opened.info,
            members: Members::new(opened.members),
            senders: Senders::default(),
            targets: Targets::default(),
            queue: Queue::default(),
            phase: Phase::Idle,
            batches: 0,
            marks: Marks::default(),
        }
    }

    /// Takes one event in; appends what is to be done to `actions`. `now_ms` is milliseconds since 1970.
    pub fn handle(&mut self, event: Event, now_ms: i64, actions: &mut Vec<Action>) {
        match event {
            Event::Request(request) => self.accept(request, now_ms, actions),
            Event::SenderLoaded { device, slots } => self.sender_loaded(device, slots, actions),
            Event::TargetLoaded { seq, entry } => self.targets.loaded(seq, entry),
            Event::Appended(outcome) => self.appended(outcome, actions),
            Event::Reopened(opened) => self.reopened(opened, actions),
            Event::CursorsRaised { mark, cursors } => self.cursors_raised(mark, cursors, actions),
        }
        self.flush(now_ms, actions);
    }

    /// Nothing waits and nothing is on its way: the conversation may be forgotten and opened again later.
    pub fn is_idle(&self) -> bool {
        self.queue.is_idle() && self.marks.is_empty() && matches!(self.phase, Phase::Idle)
    }

    /// Nobody ever wrote an entry, as far as is known.
    pub fn is_absent(&self) -> bool {
        self.tip == 0
    }

    /// The committed tip.
    pub fn tip(&self) -> u64 {
        self.tip
    }

    /// Whether it is one of two users, which their ids make.
    pub fn is_direct(&self) -> bool {
        names::direct_users(&self.key.conversation).is_some()
    }
}

/// What a conversation says that is absent, and one that this user may not see.
fn not_found() -> Refused {
    Code::NOT_FOUND.into()
}

fn reply(actions: &mut Vec<Action>, to: ReplyTo, body: Answer) {
    if to.wants_answer() {
        actions.push(Action::Reply { to, body });
    }
}

fn refuse(actions: &mut Vec<Action>, to: ReplyTo, refused: &Refused) {
    if to.wants_answer() {
        actions.push(Action::Reply { to, body: Answer::Error(refused.error()) });
    }
}
