//! The invariants under random requests, retries, slow rings, failing appends and lost outcomes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::code::Code;
use protocol::splice;
use protocol::v1::{self, Role, relation};
use storage::log::AppendOutcome;
use whimbrel_channel::conversation::event::{Body, Event};

use crate::support::*;

#[derive(Clone, Debug)]
enum Op {
    /// A new message, after the device's previous one if `chained`.
    Send {
        device: u64,
        chained: bool,
    },
    /// Repeats one of the device's requests, perhaps over a new connection.
    Retry {
        device: u64,
        which: usize,
        reconnects: bool,
    },
    /// Edits or recalls an entry, which may be there or not.
    Change {
        device: u64,
        recalls: bool,
        back: u64,
    },
    TargetLoaded {
        which: usize,
        fails: bool,
    },
    Add {
        device: u64,
        user: usize,
    },
    Remove {
        device: u64,
        user: usize,
    },
    Loaded {
        which: usize,
        fails: bool,
    },
    Append(Outcome),
    Reopened {
        fails: bool,
    },
    /// Everything on its way ends well.
    Settle,
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Applied,
    Refused,
    Conflict,
    UnknownStored,
    UnknownLost,
}

const USERS: [&str; 4] = ["a", "b", "c", "d"];
const DEVICES: u64 = 6;

fn user_of(device: u64) -> &'static str {
    USERS[device as usize % USERS.len()]
}

fn op() -> impl Strategy<Value = Op> {
    let device = 0..DEVICES;
    let user = 0..USERS.len();
    let outcome = prop_oneof![
        8 => Just(Outcome::Applied),
        1 => Just(Outcome::Refused),
        1 => Just(Outcome::Conflict),
        2 => Just(Outcome::UnknownStored),
        2 => Just(Outcome::UnknownLost),
    ];
    prop_oneof![
        8 => (device.clone(), any::<bool>()).prop_map(|(device, chained)| Op::Send { device, chained }),
        4 => (device.clone(), any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(device, which, reconnects)| Op::Retry { device, which: which.index(1000), reconnects }),
        3 => (device.clone(), any::<bool>(), 0..12u64)
            .prop_map(|(device, recalls, back)| Op::Change { device, recalls, back }),
        3 => (0..8usize, prop::bool::weighted(0.1)).prop_map(|(which, fails)| Op::TargetLoaded { which, fails }),
        1 => (device.clone(), user.clone()).prop_map(|(device, user)| Op::Add { device, user }),
        1 => (device, user).prop_map(|(device, user)| Op::Remove { device, user }),
        4 => (0..8usize, prop::bool::weighted(0.1)).prop_map(|(which, fails)| Op::Loaded { which, fails }),
        6 => outcome.prop_map(Op::Append),
        3 => prop::bool::weighted(0.2).prop_map(|fails| Op::Reopened { fails }),
        1 => Just(Op::Settle),
    ]
}

/// What the devices did and were told.
struct World {
    bench: Bench,
    next: u64,
    epochs: BTreeMap<u64, u64>,
    /// Device → its requests, in the order of first sending: id, predecessor, body.
    sent: BTreeMap<u64, Vec<Sent>>,
    /// Request id → (device, message id).
    asked: BTreeMap<u64, (u64, u64)>,
    told: BTreeMap<u64, Told>,
    pushed: Vec<(u64, usize)>,
}

#[derive(Clone)]
struct Sent {
    n: u64,
    after: Option<u64>,
    retried: bool,
    body: Body,
}

impl World {
    fn new() -> World {
        World {
            bench: Bench::group(&[("a", Role::Owner), ("b", Role::Member), ("c", Role::Agent)]),
            next: 100,
            epochs: (0..DEVICES).map(|device| (device, 1)).collect(),
            sent: BTreeMap::new(),
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            pushed: Vec::new(),
        }
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Send { device, chained } => {
                let previous = self.sent.get(&device).and_then(|sent| sent.last()).map(|sent| sent.n);
                let after = previous.filter(|_| chained);
                self.fresh(device, after, |n| {
                    Body::Send(after.map_or(send(n), |after| send_after(n, after)))
                });
            }
            Op::Change { device, recalls, back } => {
                let kind = if recalls { relation::Kind::Recall } else { relation::Kind::Edit };
                let seq = (self.bench.log.tip() + 2).saturating_sub(back).max(1);
                self.fresh(device, None, |n| Body::Send(related(n, kind, seq)));
            }
            Op::TargetLoaded { which, fails } => self.target_loaded(which, fails),
            Op::Add { device, user } => self.fresh(device, None, |n| add(n, USERS[user], Role::Member)),
            Op::Remove { device, user } => self.fresh(device, None, |n| remove(n, USERS[user])),
            Op::Retry { device, which, reconnects } => self.retry(device, which, reconnects),
            Op::Loaded { which, fails } => self.loaded(which, fails),
            Op::Append(outcome) => self.outcome(outcome),
            Op::Reopened { fails } if self.bench.reopen => match fails {
                true => {
                    self.bench.reopen = false;
                    self.bench.event(Event::Reopened(Err(broken())));
                }
                false => self.bench.reopened(),
            },
            Op::Reopened { .. } => {}
            Op::Settle => self.bench.settle(),
        }
        self.observe();
    }

    fn fresh(&mut self, device: u64, after: Option<u64>, body: impl FnOnce(u64) -> Body) {
        self.next += 1;
        let body = body(self.next);
        let sent = Sent { n: self.next, after, retried: false, body: body.clone() };
        self.sent.entry(device).or_default().push(sent);
        self.ask(device, self.next, body);
    }

    fn retry(&mut self, device: u64, which: usize, reconnects: bool) {
        let Some(sent) = self.sent.get_mut(&device) else { return };
        let at = which % sent.len();
        sent[at].retried = true;
        let (n, body) = (sent[at].n, sent[at].body.clone());
        if reconnects {
            *self.epochs.entry(device).or_default() += 1;
        }
        self.ask(device, n, body);
    }

    fn ask(&mut self, device: u64, n: u64, body: Body) {
        let re = self.asked.len() as u64 + 1;
        self.asked.insert(re, (device, n));
        self.bench.ask_over(self.epochs[&device], user_of(device), device, re, body);
    }

    fn loaded(&mut self, which: usize, fails: bool) {
        if self.bench.loads.is_empty() {
            return;
        }
        let device = self.bench.loads[which % self.bench.loads.len()];
        match fails {
            true => {
                self.bench.loads.retain(|&asked| asked != device);
                self.bench.event(Event::SenderLoaded { device, slots: Err(broken()) });
            }
            false => self.bench.load(device),
        }
    }

    fn target_loaded(&mut self, which: usize, fails: bool) {
        if self.bench.targets.is_empty() {
            return;
        }
        let seq = self.bench.targets[which % self.bench.targets.len()];
        match fails {
            true => {
                self.bench.targets.retain(|&asked| asked != seq);
                self.bench.event(Event::TargetLoaded { seq, entry: Err(broken()) });
            }
            false => self.bench.load_target(seq),
        }
    }

    fn outcome(&mut self, outcome: Outcome) {
        if self.bench.append.is_none() {
            return;
        }
        match outcome {
            Outcome::Applied => self.bench.applied(),
            Outcome::Refused => self.bench.outcome(AppendOutcome::Refused(broken())),
            Outcome::Conflict => {
                self.bench.log.epoch += 1;
                self.bench.outcome(AppendOutcome::Conflict { tip: 0, epoch: 0 });
            }
            Outcome::UnknownStored => self.bench.unknown(true),
            Outcome::UnknownLost => self.bench.unknown(false),
        }
    }

    /// Records answers and pushes, and checks each against the log as it is now.
    fn observe(&mut self) {
        for (re, told) in self.bench.told() {
            let (device, n) = self.asked[&re];
            if let Told::Ack(seq) | Told::Again(seq) = told {
                let stored = self.bench.log.message(seq);
                assert_eq!((stored.sender_device, stored.client_msg_id), (device, id(n)));
            }
            assert!(self.told.insert(re, told).is_none(), "answered twice");
        }
        for push in std::mem::take(&mut self.bench.pushes) {
            let payload = &self.bench.log.entries[push.seq as usize - 1].payload;
            assert_eq!(push.frame, splice::push_frame("room", payload));
            assert_eq!(users(&push), self.entitled(push.seq), "the audience of {}", push.seq);
            self.pushed.push((push.seq, self.bench.drops));
        }
    }

    /// Who is a member by the entries up to `seq`, with those who leave by it.
    fn entitled(&self, seq: u64) -> Vec<String> {
        let mut active = BTreeSet::new();
        let mut left = Vec::new();
        for seq in 1..=seq {
            left.clear();
            if let Some(changed) = self.bench.log.message(seq).members_changed {
                active.extend(changed.added.into_iter().map(|member| member.user));
                left.extend(changed.removed);
            }
            active.retain(|user| !left.contains(user));
        }
        active.extend(left);
        active.into_iter().collect()
    }

    fn check(&self) {
        assert_eq!(self.told.len(), self.asked.len(), "every request is answered once");
        self.check_log();
        self.check_changes();
        self.check_definite();
        self.check_order();
        for pair in self.pushed.windows(2) {
            let ((before, life), (after, later)) = (pair[0], pair[1]);
            assert!(after == before + 1 || (after > before && later > life), "pushes ascend: {pair:?}");
        }
    }

    /// Seqs without a hole, one per device and id, each by somebody who was a member before it.
    fn check_log(&self) {
        let mut ids = BTreeSet::new();
        for seq in 1..=self.bench.log.tip() {
            let message = self.bench.log.message(seq);
            assert_eq!(message.seq, seq);
            assert!(ids.insert((message.sender_device, message.client_msg_id)), "stored twice");
            if seq > 1 {
                let before = self.bench.log.message(seq - 1);
                let left: Vec<String> = before.members_changed.map(|c| c.removed).unwrap_or_default();
                let members = self.entitled(seq - 1);
                assert!(members.contains(&message.sender) && !left.contains(&message.sender));
            }
        }
    }

    /// Edits are by the author, recalls by the author or by who may, of messages that nobody had recalled before.
    fn check_changes(&self) {
        let mut recalled = BTreeSet::new();
        for seq in 1..=self.bench.log.tip() {
            let message = self.bench.log.message(seq);
            let Some(v1::Relation { kind, seq: of }) = message.relation else { continue };
            assert!(of < seq && !recalled.contains(&of));
            let target = self.bench.log.message(of);
            assert!(target.relation.is_none() && target.members_changed.is_none());
            let recalls = kind == relation::Kind::Recall as i32;
            // "a" owns the room and "c" is its agent, if they did not leave and come back.
            assert!(target.sender == message.sender || (recalls && ["a", "c"].contains(&&*message.sender)));
            if recalls {
                recalled.insert(of);
            }
        }
    }

    /// All acks of a message agree, and what was only ever refused is not in the log.
    fn check_definite(&self) {
        let mut fates: BTreeMap<(u64, u64), Vec<Told>> = BTreeMap::new();
        for (re, message) in &self.asked {
            fates.entry(*message).or_default().push(self.told[re]);
        }
        let seqs = self.seqs();
        for (message, fate) in fates {
            let acked: BTreeSet<u64> = fate
                .iter()
                .filter_map(|told| match told {
                    Told::Ack(seq) | Told::Again(seq) => Some(*seq),
                    _ => None,
                })
                .collect();
            assert!(acked.len() <= 1, "{message:?} has {acked:?}");
            assert!(fate.iter().filter(|told| matches!(told, Told::Ack(_))).count() <= 1);
            let unknown = fate.contains(&Told::No(Code::OUTCOME_UNKNOWN));
            if seqs.contains_key(&message) {
                assert!(unknown || !acked.is_empty(), "{message:?} is a phantom: {fate:?}");
            } else {
                assert!(acked.is_empty());
            }
        }
    }

    /// A message stands behind its predecessor; what was sent once stands in the order of sending, and the ring
    /// of a device is filled in turn.
    fn check_order(&self) {
        let seqs = self.seqs();
        for (&device, sent) in &self.sent {
            let seq = |n: u64| seqs.get(&(device, n)).copied();
            for one in sent {
                if let (Some(seq_of), Some(after)) = (seq(one.n), one.after) {
                    assert!(seq(after).is_some_and(|before| before < seq_of), "{device} {}", one.n);
                }
            }
            let once: Vec<u64> =
                sent.iter().filter(|one| !one.retried).filter_map(|one| seq(one.n)).collect();
            assert!(once.is_sorted());
            let slots = self.bench.log.sender(device);
            assert!(slots.iter().enumerate().all(|(at, slot)| at == usize::from(slot.slot)));
            assert!(slots.is_sorted_by_key(|slot| slot.seq));
        }
    }

    fn seqs(&self) -> BTreeMap<(u64, u64), u64> {
        let key = |seq| {
            let message = self.bench.log.message(seq);
            let id = message.client_msg_id[..].try_into().map_or(0, u128::from_be_bytes);
            ((message.sender_device, id as u64), seq)
        };
        (1..=self.bench.log.tip()).map(key).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn the_invariants_hold(ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::new();
        ops.iter().for_each(|op| world.step(op));
        world.step(&Op::Settle);
        world.check();
    }
}
