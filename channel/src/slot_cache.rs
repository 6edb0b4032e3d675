//! The conversations that a slot task holds.

use std::sync::Arc;

use hashbrown::HashMap;
use protocol::limit::MAX_USER_BYTES;
use storage::ConversationKey;

use crate::conversation::Conversation;
use crate::conversation::event::{Body, Request};
use crate::tally::{Counted, Tally, Weight};

/// Most conversations that one task holds. Past it those go that are idle and were not used for longest.
pub const MAX_HELD: usize = 1_024;
/// Most bytes that they keep, about; the largest of those that are busy may come on top. Past it the same ones go, and if
/// none is idle no further one is held.
pub const MAX_HELD_BYTES: usize = 16 * 1024 * 1024;
/// What is left of them where conversations had to go, so that not every new one has to search.
const KEPT_BYTES: usize = MAX_HELD_BYTES / 4 * 3;
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
    tally: Arc<Tally>,
}

/// One conversation. Its `life` tells a completion that is meant for it from one that is meant for a predecessor
/// under the same key.
pub struct Held {
    pub life: u64,
    pub used: u64,
    pub state: State,
    counted: Counted,
    /// It was another node's meanwhile, or may have been: it goes as soon as it is idle.
    pub condemned: bool,
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
    /// Holds nothing. What it holds later others may read in `tally`.
    pub fn new(tally: Arc<Tally>) -> Cache {
        Cache { tally, ..Cache::default() }
    }

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

    /// Lets go of the conversations that do not pass, or once did not, when they are idle; whether others are busy.
    pub fn let_go(&mut self, passes: impl Fn(&ConversationKey) -> bool) -> bool {
        let mut busy = false;
        self.held.retain(|key, held| {
            held.condemned |= !passes(key);
            let goes = held.condemned && held.is_idle();
            busy |= held.condemned && !goes;
            !goes
        });
        busy
    }

    /// What was being opened is here: this conversation. Whether it is held: it is not where too much of what is held is
    /// busy.
    pub fn opened(&mut self, key: &ConversationKey, life: u64, conversation: Conversation) -> bool {
        let Some(held) = self.alive(key, life) else { return false };
        held.state = State::Open(Box::new(conversation));
        held.weigh();
        let has_room = self.make_room_for(Some(key));
        if !has_room {
            self.held.remove(key);
        }
        has_room
    }

    /// A conversation has become larger: others go, where there is no room for all.
    pub fn grown(&mut self, key: &ConversationKey) {
        self.make_room_for(Some(key));
    }

    /// Holds what was taken out a moment ago.
    pub fn put_back(&mut self, key: ConversationKey, mut held: Held) {
        held.weigh();
        self.held.insert(key, held);
    }

    fn hold(&mut self, key: ConversationKey, waiting: Waiting) -> u64 {
        self.clock += 1;
        let (life, counted) = (self.clock, self.tally.count());
        let held = Held { life, used: life, state: State::Opening(waiting), counted, condemned: false };
        self.held.insert(key, held);
        life
    }

    /// Room for one more.
    fn make_room(&mut self) -> bool {
        if self.held.len() >= MAX_HELD {
            let mut idle = self.idle(None);
            // A quarter at once, so that not every new conversation has to search.
            idle.truncate(idle.len() / 4 + 1);
            self.forget(idle.last(), None);
        }
        self.held.len() < MAX_HELD && self.make_room_for(None)
    }

    /// Lets idle conversations go, but not this one, until what is held is no larger than it may be; whether it is.
    fn make_room_for(&mut self, stays: Option<&ConversationKey>) -> bool {
        if self.bytes() <= MAX_HELD_BYTES {
            return true;
        }
        let counts = |(key, held): &(&ConversationKey, &Held)| !held.is_idle() || Some(*key) == stays;
        let largest = self.held.iter().filter(counts).map(|(_, held)| held.counted.weight().bytes).max();
        let largest = largest.unwrap_or(0);
        if self.bytes() - largest > MAX_HELD_BYTES {
            let mut excess = self.bytes() - largest - KEPT_BYTES;
            let idle = self.idle(stays);
            let enough = idle.iter().position(|idle| {
                excess = excess.saturating_sub(idle.bytes);
                excess == 0
            });
            self.forget(enough.map_or(idle.last(), |at| idle.get(at)), stays);
        }
        self.bytes() - largest <= MAX_HELD_BYTES
    }

    /// Those that may go, the longest unused first.
    fn idle(&self, stays: Option<&ConversationKey>) -> Vec<Idle> {
        let may_go = |(key, held): &(&ConversationKey, &Held)| held.is_idle() && Some(*key) != stays;
        let idle = self.held.iter().filter(may_go);
        let mut idle: Vec<Idle> =
            idle.map(|(_, held)| Idle { used: held.used, bytes: held.counted.weight().bytes }).collect();
        idle.sort_unstable_by_key(|idle| idle.used);
        idle
    }

    /// Forgets the idle ones up to this one, which was used last of them.
    fn forget(&mut self, last: Option<&Idle>, stays: Option<&ConversationKey>) {
        if let Some(last) = last {
            self.held.retain(|key, held| !held.is_idle() || held.used > last.used || Some(key) == stays);
        }
    }

    fn bytes(&self) -> usize {
        self.tally.weight().bytes
    }
}

/// What matters of an idle conversation.
struct Idle {
    used: u64,
    bytes: usize,
}

impl Held {
    /// Weighs it anew; whether it has become larger.
    pub fn weigh(&mut self) -> bool {
        let weight = match &self.state {
            State::Open(conversation) => conversation.weight(),
            State::Opening(_) => Weight::default(),
        };
        self.counted.set(weight)
    }

    fn is_idle(&self) -> bool {
        matches!(&self.state, State::Open(conversation) if conversation.is_idle())
    }
}

#[cfg(test)]
mod tests {
    use protocol::limit::CLIENT_MSG_ID_BYTES;
    use protocol::v1::{ChangeMembers, ConversationInfo, NewMember, Role};
    use storage::log::{AppendOutcome, Opened};
    use storage::member::MemberRow;

    use super::*;
    use crate::conversation::action::Action;
    use crate::conversation::event::{Event, ReplyTo};
    use crate::conversation::weight::MEMBER_BYTES;

    /// So many members fill about a twelfth of what may be held.
    const TWELFTH: usize = MAX_HELD_BYTES / MEMBER_BYTES / 12 - 100;

    fn key(n: usize) -> ConversationKey {
        ConversationKey::new("t", format!("c{n}"))
    }

    fn conversation(n: usize, members: usize) -> Conversation {
        let mut members: Vec<MemberRow> =
            (0..members).map(|n| MemberRow::join(format!("u{n}"), Role::Owner, 1)).collect();
        // Who has left counts as well.
        members[1..].iter_mut().for_each(|row| row.leave(1));
        let info = Some(ConversationInfo::default());
        Conversation::new(key(n), Opened { epoch: 1, tip: 1, last_batch: [0; 16], info, members })
    }

    /// The conversation `n` is opened; its life, if it is held.
    fn open(cache: &mut Cache, n: usize, members: usize) -> Option<u64> {
        let life = cache.begin_for_nobody(key(n))?;
        cache.opened(&key(n), life, conversation(n, members)).then_some(life)
    }

    fn tell(cache: &mut Cache, n: usize, event: Event) -> bool {
        let Some(held) = cache.held.get_mut(&key(n)) else { panic!("{n} is held") };
        let State::Open(conversation) = &mut held.state else { panic!("{n} is open") };
        let mut actions = Vec::new();
        conversation.handle(event, 1, &mut actions);
        held.weigh();
        actions.iter().any(|action| matches!(action, Action::Append(_)))
    }

    /// Members join, from the number `first` on; the append is under way.
    fn join(cache: &mut Cache, n: usize, first: usize, count: usize) {
        let member = |n| NewMember { user: format!("n{n}"), ..NewMember::default() };
        let add = (first..first + count).map(member).collect();
        let client_msg_id = vec![0; CLIENT_MSG_ID_BYTES].into();
        let body = Body::Change(ChangeMembers { client_msg_id, add, ..ChangeMembers::default() });
        let request = Request { to: ReplyTo::Node(1), user: "u0".into(), body };
        assert!(tell(cache, n, Event::Request(request)), "it appends");
    }

    fn held(cache: &Cache, numbers: std::ops::Range<usize>) -> Vec<usize> {
        numbers.filter(|&n| cache.held.contains_key(&key(n))).collect()
    }

    #[test]
    fn the_longest_unused_go_when_members_are_many() {
        let mut cache = Cache::default();
        // That which is being opened comes on top.
        (0..13).for_each(|n| assert!(open(&mut cache, n, TWELFTH).is_some()));
        assert_eq!(held(&cache, 0..13).len(), 13);
        cache.get(&key(0));
        assert!(open(&mut cache, 13, TWELFTH).is_some());
        let kept = held(&cache, 0..14);
        assert!(kept.starts_with(&[0]) && kept.ends_with(&[12, 13]) && !kept.contains(&1), "{kept:?}");
        assert!(cache.bytes() <= KEPT_BYTES + 2 * TWELFTH * MEMBER_BYTES);
        assert_eq!(cache.tally.weight().members, kept.len() * TWELFTH);
        assert_eq!(Tally::sum([&cache.tally]).conversations, kept.len());
        kept.iter().for_each(|&n| drop(cache.remove(&key(n))));
        assert_eq!(Tally::sum([&cache.tally]), crate::tally::Holdings::default());
    }

    #[test]
    fn who_joins_later_counts_too() {
        let mut cache = Cache::default();
        (0..12).for_each(|n| assert!(open(&mut cache, n, TWELFTH).is_some()));
        assert!(open(&mut cache, 12, 4 * TWELFTH).is_some());
        join(&mut cache, 12, 0, 1);
        assert_eq!(held(&cache, 0..13).len(), 13);
        for round in 0..4 {
            join(&mut cache, 0, round * 500, 500);
            tell(&mut cache, 0, Event::Appended(AppendOutcome::Applied));
        }
        // It was used least recently, and is the one that may stay.
        cache.grown(&key(0));
        let kept = held(&cache, 0..13);
        assert!(kept.starts_with(&[0]) && kept.ends_with(&[11, 12]) && !kept.contains(&1), "{kept:?}");
    }

    #[test]
    fn what_is_busy_stays_and_the_largest_of_it_stands_in_nobodys_way() {
        let mut cache = Cache::default();
        let large = TWELFTH * 16;
        let life = open(&mut cache, 0, large).unwrap();
        join(&mut cache, 0, 0, 1);
        for n in 1..40 {
            assert!(open(&mut cache, n, TWELFTH).is_some(), "beside a large one there is room for {n}");
            assert!(cache.alive(&key(0), life).is_some());
        }
        assert!(cache.bytes() <= (large + 500) * MEMBER_BYTES + MAX_HELD_BYTES + 40 * 2_048);
        // Idle it goes as others do.
        tell(&mut cache, 0, Event::Appended(AppendOutcome::Applied));
        assert!(open(&mut cache, 40, 1).is_some());
        assert!(cache.alive(&key(0), life).is_none());
    }

    #[test]
    fn nothing_more_is_held_where_too_much_is_busy() {
        let mut cache = Cache::default();
        for n in 0..13 {
            assert!(open(&mut cache, n, TWELFTH).is_some(), "{n}");
            join(&mut cache, n, 0, 1);
        }
        // One is not counted, and twelve fill the room.
        assert!(open(&mut cache, 13, TWELFTH).is_none());
        assert_eq!(held(&cache, 0..14).len(), 13);
        tell(&mut cache, 3, Event::Appended(AppendOutcome::Applied));
        assert!(open(&mut cache, 13, TWELFTH).is_some());
        assert_eq!(held(&cache, 3..4), [0; 0]);
    }
}
