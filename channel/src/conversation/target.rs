//! What edits and recalls refer to: who wrote an earlier entry, what it is, and who may change it.
//!
//! The latest entries are known. An older one is read from the log, and the queue waits where it is needed: an edit
//! or recall costs the conversation one read at most, and everybody's order stays as it is.

use std::collections::VecDeque;

use hashbrown::HashMap;
use prost::Message as _;
use protocol::check::{Refused, invalid};
use protocol::code::Code;
use protocol::v1::relation::Kind as Relation;
use protocol::v1::{Message, Role};
use storage::StoreError;
use storage::log::{EntryKind, StoredEntry};

/// How many of a conversation's latest entries are known without a read.
pub const MAX_RECENT: usize = 64;
/// Most older entries that are held for requests that wait. Past it they are read when their turn has come.
pub const MAX_LOADED: usize = 128;
/// What an author's name of usual length takes.
const NAME_BYTES: usize = 32;

/// An entry, as far as it matters to whoever wants to change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub author: String,
    pub kind: TargetKind,
    pub recalled: bool,
}

/// What an entry is to whoever wants to change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    Message,
    Hidden,
    /// An edit or a recall.
    Change,
    Members,
}

/// The entries that are known.
#[derive(Default)]
pub struct Targets {
    /// The latest committed ones, up to the tip.
    recent: VecDeque<Target>,
    loaded: HashMap<u64, Load>,
}

enum Load {
    /// It was asked for; `recalled` says that a recall was committed since.
    Asked {
        recalled: bool,
    },
    Known(Target),
    Failed(Code),
}

impl Targets {
    /// The entry `seq` of a log that ends at `tip`; `None` if it has to be read first.
    pub fn get(&self, seq: u64, tip: u64) -> Option<Result<&Target, Code>> {
        if let Some(target) = self.place(seq, tip).and_then(|place| self.recent.get(place)) {
            return Some(Ok(target));
        }
        match self.loaded.get(&seq)? {
            Load::Asked { .. } => None,
            Load::Known(target) => Some(Ok(target)),
            Load::Failed(code) => Some(Err(*code)),
        }
    }

    /// What the latest entries and the places for others take, about.
    pub fn bytes(&self) -> usize {
        let recent = self.recent.capacity() * size_of::<Target>() + self.recent.len() * NAME_BYTES;
        recent + self.loaded.capacity() * size_of::<(u64, Load)>()
    }

    /// Whether another entry may be asked for before its turn has come.
    pub fn has_room(&self) -> bool {
        self.loaded.len() < MAX_LOADED
    }

    /// Says that an entry is needed; whether it has to be asked for.
    pub fn ask(&mut self, seq: u64) -> bool {
        if self.loaded.contains_key(&seq) {
            return false;
        }
        if !self.has_room() {
            self.forget_loaded();
        }
        self.loaded.insert(seq, Load::Asked { recalled: false });
        true
    }

    /// What was asked for is here, or is not to be had.
    pub fn loaded(&mut self, seq: u64, read: Result<Option<StoredEntry>, StoreError>) {
        let Some(load) = self.loaded.get_mut(&seq) else { return };
        let Load::Asked { recalled } = *load else { return };
        let target = read.map_err(|error| error.code()).and_then(|entry| Target::read(entry, recalled));
        *load = target.map_or_else(Load::Failed, Load::Known);
    }

    /// A failure has been told; whoever asks next tries again.
    pub fn forget_failure(&mut self, seq: u64) {
        if let Some(Load::Failed(_)) = self.loaded.get(&seq) {
            self.loaded.remove(&seq);
        }
    }

    /// Forgets what was read, but not what is on its way.
    pub fn forget_loaded(&mut self) {
        self.loaded.retain(|_, load| matches!(load, Load::Asked { .. }));
    }

    /// An entry is committed.
    pub fn push(&mut self, target: Target) {
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(target);
    }

    /// A recall of `seq` is committed, in a log that ends at `tip` now.
    pub fn recall(&mut self, seq: u64, tip: u64) {
        if let Some(target) = self.place(seq, tip).and_then(|place| self.recent.get_mut(place)) {
            target.recalled = true;
        }
        match self.loaded.get_mut(&seq) {
            Some(Load::Asked { recalled } | Load::Known(Target { recalled, .. })) => *recalled = true,
            Some(Load::Failed(_)) | None => {}
        }
    }

    /// Where in `recent` the entry stands.
    fn place(&self, seq: u64, tip: u64) -> Option<usize> {
        self.recent.len().checked_sub(1 + usize::try_from(tip.checked_sub(seq)?).ok()?)
    }
}

impl Target {
    fn read(entry: Option<StoredEntry>, recalled: bool) -> Result<Target, Code> {
        let entry = entry.ok_or(Code::CORRUPT)?;
        let message = Message::decode(entry.payload).map_err(|_| Code::CORRUPT)?;
        let kind = TargetKind::of(&message);
        Ok(Target { author: message.sender, kind, recalled: recalled || entry.fate.recalled })
    }

    /// Whether `user` may change it like this. Only the author edits; owners and agents recall for others.
    pub fn allows(&self, change: Relation, user: &str, role: Role) -> Result<(), Refused> {
        let own = self.author == user;
        match self.kind {
            TargetKind::Message => {}
            TargetKind::Hidden if own => {}
            TargetKind::Hidden | TargetKind::Members => return Err(invalid("relation.seq is no message")),
            TargetKind::Change => {
                return Err(invalid("relation.seq is an edit or a recall; name the message it changes"));
            }
        }
        let may_recall = own || matches!(role, Role::Owner | Role::Agent);
        match change {
            Relation::Edit if !own => Err(Refused::new(Code::NOT_ALLOWED, "only its author edits a message")),
            Relation::Recall if !may_recall => {
                Err(Refused::new(Code::NOT_ALLOWED, "this member recalls only own messages"))
            }
            _ if self.recalled => Err(invalid("the message was recalled")),
            _ => Ok(()),
        }
    }
}

impl TargetKind {
    pub fn of(message: &Message) -> TargetKind {
        match EntryKind::of(message) {
            EntryKind::Edit(_) | EntryKind::Recall(_) => TargetKind::Change,
            _ if message.members_changed.is_some() => TargetKind::Members,
            EntryKind::Silent => TargetKind::Hidden,
            EntryKind::Shown => TargetKind::Message,
        }
    }
}
