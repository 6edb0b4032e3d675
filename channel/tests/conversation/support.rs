//! A log in memory, and the core's other half: performs its actions and records what it answered and pushed.

use std::collections::BTreeMap;

use idgen::NodeId;
use prost::Message as _;
use protocol::code::Code;
use protocol::v1::server_frame::Body as Answer;
use protocol::v1::{self, Role, ServerFrame};
use storage::ConversationKey;
use storage::log::{Append, AppendOutcome, Entry, EntryKind, Fate, Opened, SenderSlot, StoredEntry};
use storage::member::MemberRow;
use storage::{StoreError, member::Cursors};
use whimbrel_channel::conversation::Conversation;
use whimbrel_channel::conversation::action::{Action, Push};
use whimbrel_channel::conversation::event::{Asker, Body, Event, ReplyTo, Request};

/// One log, with its contract.
#[derive(Default)]
pub struct FakeLog {
    pub epoch: u64,
    pub last_batch: [u8; 16],
    pub entries: Vec<Entry>,
    pub members: BTreeMap<String, MemberRow>,
    pub slots: BTreeMap<(u64, u8), SenderSlot>,
    pub info: Option<v1::ConversationInfo>,
}

impl FakeLog {
    pub fn tip(&self) -> u64 {
        self.entries.len() as u64
    }

    pub fn open(&mut self) -> Opened {
        self.epoch += 1;
        Opened {
            epoch: self.epoch,
            tip: self.tip(),
            last_batch: self.last_batch,
            info: self.info.clone(),
            members: self.members.values().cloned().collect(),
        }
    }

    pub fn apply(&mut self, append: &Append) {
        assert_eq!((append.epoch, append.expected_tip), (self.epoch, self.tip()));
        assert!(!append.entries.is_empty());
        for entry in &append.entries {
            self.entries.push(entry.clone());
            if let Some(of) = entry.slot {
                let slot = SenderSlot { slot: of.slot, client_msg_id: of.client_msg_id, seq: self.tip() };
                self.slots.insert((of.device, of.slot), slot);
            }
        }
        self.members.extend(append.members.iter().map(|row| (row.user.clone(), row.clone())));
        self.info = append.info.clone().or(self.info.take());
        self.last_batch = append.batch;
    }

    pub fn sender(&self, device: u64) -> Vec<SenderSlot> {
        self.slots.range((device, 0)..=(device, u8::MAX)).map(|(_, slot)| *slot).collect()
    }

    pub fn stored(&self, seq: u64) -> StoredEntry {
        let recalled = self.entries.iter().any(|entry| entry.kind == EntryKind::Recall(seq));
        let payload = self.entries[seq as usize - 1].payload.clone();
        StoredEntry { seq, payload, fate: Fate { recalled, edited: 0 } }
    }

    pub fn message(&self, seq: u64) -> v1::Message {
        v1::Message::decode(&self.entries[seq as usize - 1].payload[..]).unwrap()
    }
}

/// A conversation and everything around it.
pub struct Bench {
    pub key: ConversationKey,
    pub log: FakeLog,
    pub conversation: Conversation,
    /// The append that waits for its outcome.
    pub append: Option<Append>,
    pub reopen: bool,
    pub loads: Vec<u64>,
    /// Entries that were asked for.
    pub targets: Vec<u64>,
    pub raised: Vec<Event>,
    pub answers: Vec<(ReplyTo, Answer)>,
    pub pushes: Vec<Push>,
    pub drops: usize,
}

pub const NOW: i64 = 1_800_000_000_000;

impl Bench {
    pub fn new(conversation: &str) -> Bench {
        let (key, mut log) = (ConversationKey::new("t", conversation), FakeLog::default());
        let conversation = Conversation::new(key.clone(), log.open());
        Bench {
            key,
            log,
            conversation,
            append: None,
            reopen: false,
            loads: Vec::new(),
            targets: Vec::new(),
            raised: Vec::new(),
            answers: Vec::new(),
            pushes: Vec::new(),
            drops: 0,
        }
    }

    /// A group of these, made by the node and freshly opened: rings have to be loaded.
    pub fn group(members: &[(&str, Role)]) -> Bench {
        let mut bench = Bench::new("room");
        let members = members.iter().map(|&(user, role)| new_member(user, role)).collect();
        let create = v1::CreateConversation { title: "Room".into(), members, ..Default::default() };
        bench.event(Event::Request(Request {
            to: ReplyTo::Node(1),
            user: String::new(),
            body: Body::Create(create),
        }));
        bench.settle();
        bench.restart();
        bench.answers.clear();
        bench.pushes.clear();
        bench
    }

    /// Somebody opens the log afresh.
    pub fn restart(&mut self) {
        self.conversation = Conversation::new(self.key.clone(), self.log.open());
        (self.append, self.reopen) = (None, false);
        self.loads.clear();
        self.targets.clear();
        self.raised.clear();
    }

    pub fn event(&mut self, event: Event) {
        let mut actions = Vec::new();
        self.conversation.handle(event, NOW, &mut actions);
        actions.into_iter().for_each(|action| self.perform(action));
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Reply { to, body } => {
                if let Answer::SendAck(ack) = &body {
                    assert!(ack.seq <= self.log.tip(), "acknowledged before it is stored");
                }
                self.answers.push((to, body));
            }
            Action::LoadSender(device) => self.loads.push(device),
            Action::LoadTarget(seq) => self.targets.push(seq),
            Action::Append(append) => assert!(self.append.replace(append).is_none(), "one append in flight"),
            Action::Push(push) => {
                assert!(push.seq <= self.log.tip(), "pushed before it is stored");
                self.pushes.push(push);
            }
            Action::RaiseCursors { mark, cursors } => {
                self.raised.push(Event::CursorsRaised { mark, cursors: Ok(cursors) });
            }
            Action::Reopen => self.reopen = true,
            Action::Drop => {
                self.drops += 1;
                self.restart();
            }
        }
    }

    /// A request of `user` on `device`, over its connection 1.
    pub fn ask(&mut self, user: &str, device: u64, re: u64, body: Body) {
        self.ask_over(1, user, device, re, body);
    }

    pub fn ask_over(&mut self, epoch: u64, user: &str, device: u64, re: u64, body: Body) {
        let to = to(device, epoch, re);
        self.event(Event::Request(Request { to, user: user.into(), body }));
    }

    pub fn load(&mut self, device: u64) {
        let slots = Ok(self.log.sender(device));
        self.loads.retain(|&asked| asked != device);
        self.event(Event::SenderLoaded { device, slots });
    }

    /// Answers a LoadTarget with what is stored now.
    pub fn load_target(&mut self, seq: u64) {
        self.targets.retain(|&asked| asked != seq);
        let entry = Ok(Some(self.log.stored(seq)));
        self.event(Event::TargetLoaded { seq, entry });
    }

    /// Applies the append in flight.
    pub fn applied(&mut self) {
        let append = self.append.take().expect("an append in flight");
        self.log.apply(&append);
        self.event(Event::Appended(AppendOutcome::Applied));
    }

    pub fn outcome(&mut self, outcome: AppendOutcome) {
        self.append.take().expect("an append in flight");
        self.event(Event::Appended(outcome));
    }

    /// The outcome gets lost; the append is stored or not.
    pub fn unknown(&mut self, stored: bool) {
        let append = self.append.take().expect("an append in flight");
        if stored {
            self.log.apply(&append);
        }
        self.event(Event::Appended(AppendOutcome::Unknown(broken())));
    }

    pub fn reopened(&mut self) {
        assert!(std::mem::take(&mut self.reopen), "a reopen asked for");
        let opened = self.log.open();
        self.event(Event::Reopened(Ok(opened)));
    }

    /// Everything on its way ends well.
    pub fn settle(&mut self) {
        loop {
            if let Some(&device) = self.loads.first() {
                self.load(device);
            } else if let Some(&seq) = self.targets.first() {
                self.load_target(seq);
            } else if self.append.is_some() {
                self.applied();
            } else if self.reopen {
                self.reopened();
            } else if let Some(raised) = self.raised.pop() {
                self.event(raised);
            } else {
                break;
            }
        }
        assert!(self.conversation.is_idle());
    }

    /// What was answered since the last call: (request id, result).
    pub fn told(&mut self) -> Vec<(u64, Told)> {
        self.answers.drain(..).map(|(to, body)| (re_of(&to), told(&body))).collect()
    }

    /// The pushes since the last call: seq and users.
    pub fn pushed(&mut self) -> Vec<(u64, Vec<String>)> {
        self.pushes.drain(..).map(|push| (push.seq, users(&push))).collect()
    }
}

/// An answer in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Ack(u64),
    Again(u64),
    Cursor(u64, u64),
    No(Code),
}

pub fn told(body: &Answer) -> Told {
    match body {
        Answer::SendAck(ack) if ack.duplicate => Told::Again(ack.seq),
        Answer::SendAck(ack) => Told::Ack(ack.seq),
        Answer::Cursor(cursor) => Told::Cursor(cursor.read, cursor.delivered),
        Answer::Error(error) => Told::No(Code::from_number(error.code).unwrap()),
        other => panic!("not an answer: {other:?}"),
    }
}

pub fn users(push: &Push) -> Vec<String> {
    let mut users: Vec<String> = push.users.iter().map(|user| user.to_string()).collect();
    users.sort();
    users
}

pub fn frame(push: &Push) -> Answer {
    ServerFrame::decode(&push.frame[..]).unwrap().body.unwrap()
}

pub fn re_of(to: &ReplyTo) -> u64 {
    match to {
        ReplyTo::Device(asker) => asker.re,
        ReplyTo::Node(ticket) => *ticket,
    }
}

pub fn to(device: u64, epoch: u64, re: u64) -> ReplyTo {
    let connector = NodeId::from_u64(1 << 60).unwrap();
    ReplyTo::Device(Asker { connector, device, epoch, re })
}

pub fn broken() -> StoreError {
    StoreError::Unavailable("test".into())
}

pub fn id(n: u64) -> bytes::Bytes {
    u128::from(n).to_be_bytes().to_vec().into()
}

/// A message with this id.
pub fn send(n: u64) -> v1::Send {
    let content = v1::Content { r#type: "text/plain".into(), data: format!("text {n}").into() };
    v1::Send { client_msg_id: id(n), content: Some(content), ..Default::default() }
}

/// A message whose predecessor is `after`.
pub fn send_after(n: u64, after: u64) -> v1::Send {
    v1::Send { after: id(after), ..send(n) }
}

/// A message that refers to an earlier one.
pub fn related(n: u64, kind: v1::relation::Kind, seq: u64) -> v1::Send {
    v1::Send { relation: Some(v1::Relation { kind: kind.into(), seq }), ..send(n) }
}

pub fn new_member(user: &str, role: Role) -> v1::NewMember {
    v1::NewMember { user: user.into(), role: role.into(), with_history: false }
}

pub fn add(n: u64, user: &str, role: Role) -> Body {
    let add = vec![new_member(user, role)];
    Body::Change(v1::ChangeMembers { client_msg_id: id(n), add, ..Default::default() })
}

pub fn remove(n: u64, user: &str) -> Body {
    let remove = vec![user.into()];
    Body::Change(v1::ChangeMembers { client_msg_id: id(n), remove, ..Default::default() })
}

pub fn cursors(read: u64, delivered: u64) -> Cursors {
    Cursors { read, delivered, sent: 0 }
}
