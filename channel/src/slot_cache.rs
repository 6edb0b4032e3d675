//! The conversations that a slot task holds.

use hashbrown::HashMap;
use protocol::limit::MAX_USER_BYTES;
use storage::ConversationKey;

use crate::conversation::Conversation;
use crate::conversation::event::{Body, Request};

/// Most conversations that one task holds. Past it those go that are idle and were not used for longest.
pub const MAX_HELD: usize = 1_024;
/// Most requests that wait while a conversation is being opened.
pub const MAX_WAITING: usize = 1_024;
/// Most bytes of what they carry.
pub const MAX_WAITING_BYTES: usize = 1024 * 1024;

/// Key → conversation, open or being opened.
#[derive(Default)]
pub struct Cache {
    held: HashMap<ConversationKey, Held>,
    /// Counts uses, and so tells them apart.
    clock: u64,
}

/// One conversation. Its `life` tells a completion that is meant for it from one that is meant for a predecessor
/// under the same key.
pub struct Held {
    pub life: u64,
    pub used: u64,
    pub state: State,
}

pub enum State {
    Opening(Waiting),
    Open(Box<Conversation>),
}

/// What waits for a conversation, in order.
#[derive(Default)]
pub struct Waiting {
    pub requests: Vec<Request>,
    bytes: usize,
}

impl Waiting {
    /// Adds a request, or gives it back if there is no room.
    pub fn push(&mut self, request: Request) -> Result<(), Box<Request>> {
        let bytes = size(&request.body);
        if self.requests.len() == MAX_WAITING || self.bytes + bytes > MAX_WAITING_BYTES {
            return Err(Box::new(request));
        }
        self.bytes += bytes;
        self.requests.push(request);
        Ok(())
    }
}

/// About what a request carries; the rest is small.
fn size(body: &Body) -> usize {
    match body {
        Body::Send(send) => send.content.as_ref().map_or(0, |content| content.data.len()),
        Body::Create(create) => create.members.len() * MAX_USER_BYTES,
        Body::Change(change) => (change.add.len() + change.remove.len()) * MAX_USER_BYTES,
        Body::Signal(signal) => signal.data.len(),
        Body::Mark(_) => 0,
    }
}

impl Cache {
    /// The conversation, marked as used.
    pub fn get(&mut self, key: &ConversationKey) -> Option<&mut Held> {
        self.clock += 1;
        let held = self.held.get_mut(key)?;
        held.used = self.clock;
        Some(held)
    }

    /// The conversation, if it still has this life.
    pub fn alive(&mut self, key: &ConversationKey, life: u64) -> Option<&mut Held> {
        self.held.get_mut(key).filter(|held| held.life == life)
    }

    /// Begins to hold a conversation, for which `first` waits; its life. Gives `first` back if there is no room:
    /// everything that is held is busy.
    pub fn begin(&mut self, key: ConversationKey, first: Request) -> Result<u64, Box<Request>> {
        if !self.make_room() {
            return Err(Box::new(first));
        }
        let mut waiting = Waiting::default();
        waiting.push(first)?;
        Ok(self.hold(key, waiting))
    }

    /// Begins to hold a conversation that no request waits for; `None` if it is held, or there is no room.
    pub fn begin_for_nobody(&mut self, key: ConversationKey) -> Option<u64> {
        if self.held.contains_key(&key) || !self.make_room() {
            return None;
        }
        Some(self.hold(key, Waiting::default()))
    }

    pub fn remove(&mut self, key: &ConversationKey) -> Option<Held> {
        self.held.remove(key)
    }

    /// Lets go of the idle conversations that do not pass; whether others that do not pass are busy.
    pub fn let_go(&mut self, passes: impl Fn(&ConversationKey) -> bool) -> bool {
        let mut busy = false;
        self.held.retain(|key, held| {
            let (passes, is_idle) = (passes(key), held.is_idle());
            busy |= !passes && !is_idle;
            passes || !is_idle
        });
        busy
    }

    /// Holds what was taken out a moment ago.
    pub fn put_back(&mut self, key: ConversationKey, held: Held) {
        self.held.insert(key, held);
    }

    fn hold(&mut self, key: ConversationKey, waiting: Waiting) -> u64 {
        self.clock += 1;
        let held = Held { life: self.clock, used: self.clock, state: State::Opening(waiting) };
        self.held.insert(key, held);
        self.clock
    }

    fn make_room(&mut self) -> bool {
        if self.held.len() < MAX_HELD {
            return true;
        }
        let mut uses: Vec<u64> =
            self.held.values().filter(|held| held.is_idle()).map(|held| held.used).collect();
        uses.sort_unstable();
        // A quarter at once, so that not every new conversation has to search.
        if let Some(&limit) = uses.get(uses.len() / 4) {
            self.held.retain(|_, held| !held.is_idle() || held.used > limit);
        }
        self.held.len() < MAX_HELD
    }
}

impl Held {
    fn is_idle(&self) -> bool {
        matches!(&self.state, State::Open(conversation) if conversation.is_idle())
    }
}
