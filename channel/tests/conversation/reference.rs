//! With a store that never fails the core answers as if every request were served alone, in order of arrival:
//! batches and appends in flight must not show.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::code::Code;
use protocol::v1::{Role, relation};
use whimbrel_channel::conversation::event::Body;

use crate::support::*;

#[derive(Clone, Debug)]
enum Op {
    Send { device: u64, n: u64, after: Option<u64> },
    Change { device: u64, n: u64, recalls: bool, back: u64 },
    Add { device: u64, n: u64, user: usize },
    Remove { device: u64, n: u64, user: usize },
    Applied,
}

const USERS: [&str; 4] = ["a", "b", "c", "d"];

/// Devices 0-3 are the users', 4-7 their second ones.
fn user_of(device: u64) -> &'static str {
    USERS[device as usize % USERS.len()]
}

fn op() -> impl Strategy<Value = Op> {
    // Few ids, so that retries are frequent.
    let (device, n, user) = (0..8u64, 1..24u64, 0..USERS.len());
    prop_oneof![
        6 => (device.clone(), n.clone(), proptest::option::of(1..24u64))
            .prop_map(|(device, n, after)| Op::Send { device, n, after }),
        3 => (device.clone(), n.clone(), any::<bool>(), 0..10u64)
            .prop_map(|(device, n, recalls, back)| Op::Change { device, n, recalls, back }),
        1 => (device.clone(), n.clone(), user.clone()).prop_map(|(device, n, user)| Op::Add { device, n, user }),
        1 => (device, n, user).prop_map(|(device, n, user)| Op::Remove { device, n, user }),
        3 => Just(Op::Applied),
    ]
}

/// Who joins and who leaves.
type Change = Result<(Option<&'static str>, Option<&'static str>), Code>;

/// The reference: no batches, no flight.
struct Model {
    tip: u64,
    sent: BTreeMap<(u64, u64), u64>,
    active: BTreeSet<&'static str>,
    pushed: Vec<(u64, Vec<String>)>,
    /// Messages that may be changed: who wrote them, whether they were recalled.
    messages: BTreeMap<u64, (&'static str, bool)>,
    /// What each user may see: first and last seqs.
    spans: BTreeMap<&'static str, Vec<(u64, u64)>>,
}

impl Model {
    fn serve(&mut self, op: &Op) -> Told {
        match *op {
            Op::Send { device, n, after } => {
                let told = self.entry(device, n, |model| {
                    match after.is_some_and(|after| !model.sent.contains_key(&(device, after))) {
                        true => Err(Code::OUT_OF_ORDER),
                        false => Ok((None, None)),
                    }
                });
                if let Told::Ack(seq) = told {
                    self.messages.insert(seq, (user_of(device), false));
                }
                told
            }
            Op::Change { device, n, recalls, back } => {
                let of = self.target(back);
                let told = self.entry(device, n, |model| model.may_change(user_of(device), recalls, of));
                if let (Told::Ack(_), true, Some(message)) = (told, recalls, self.messages.get_mut(&of)) {
                    message.1 = true;
                }
                told
            }
            Op::Add { device, n, user } => {
                self.entry(device, n, |model| match model.active.contains(USERS[user]) {
                    true => Err(Code::INVALID_REQUEST),
                    false => Ok((Some(USERS[user]), None)),
                })
            }
            Op::Remove { device, n, user } => self.entry(device, n, |model| {
                let (me, user) = (user_of(device), USERS[user]);
                match (me == "a" || me == user, model.active.contains(user)) {
                    (false, _) => Err(Code::NOT_ALLOWED),
                    (true, false) => Err(Code::INVALID_REQUEST),
                    (true, true) => Ok((None, Some(user))),
                }
            }),
            Op::Applied => unreachable!("not a request"),
        }
    }

    /// The entry that a change names: around the tip.
    fn target(&self, back: u64) -> u64 {
        (self.tip + 2).saturating_sub(back).max(1)
    }

    fn may_change(&self, user: &'static str, recalls: bool, of: u64) -> Change {
        let seen = self.spans[user].iter().any(|&(first, last)| (first..=last).contains(&of));
        match self.messages.get(&of).filter(|_| seen) {
            None => Err(Code::INVALID_REQUEST),
            Some((author, _)) if *author != user && !(recalls && user == "a") => Err(Code::NOT_ALLOWED),
            Some((_, true)) => Err(Code::INVALID_REQUEST),
            Some((_, false)) => Ok((None, None)),
        }
    }

    fn entry(&mut self, device: u64, n: u64, change: impl FnOnce(&Model) -> Change) -> Told {
        if let Some(&seq) = self.sent.get(&(device, n)) {
            return Told::Again(seq);
        }
        if !self.active.contains(user_of(device)) {
            return Told::No(Code::NOT_FOUND);
        }
        let (joins, leaves) = match change(self) {
            Ok(change) => change,
            Err(code) => return Told::No(code),
        };
        self.tip += 1;
        self.sent.insert((device, n), self.tip);
        self.active.extend(joins);
        if let Some(joins) = joins {
            self.spans.entry(joins).or_default().push((self.tip, u64::MAX));
        }
        self.pushed.push((self.tip, self.active.iter().map(|user| user.to_string()).collect()));
        if let Some(leaves) = leaves {
            self.active.remove(leaves);
            self.spans.get_mut(leaves).unwrap().last_mut().unwrap().1 = self.tip;
        }
        Told::Ack(self.tip)
    }
}

fn body(op: &Op) -> Body {
    match *op {
        Op::Change { .. } => unreachable!("depends on the tip"),
        Op::Send { n, after: None, .. } => Body::Send(send(n)),
        Op::Send { n, after: Some(after), .. } => Body::Send(send_after(n, after)),
        // "a" is the owner for good; a member who comes again is a member.
        Op::Add { n, user, .. } => add(n, USERS[user], if user == 0 { Role::Owner } else { Role::Member }),
        Op::Remove { n, user, .. } => remove(n, USERS[user]),
        Op::Applied => unreachable!("not a request"),
    }
}

/// "a" neither leaves nor is added by others, which would need roles in the model.
fn is_about_a(op: &Op) -> bool {
    matches!(op, Op::Add { user: 0, .. } | Op::Remove { user: 0, .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn batching_does_not_show(ops in proptest::collection::vec(op(), 1..60)) {
        let mut bench = Bench::group(&[("a", Role::Owner), ("b", Role::Member)]);
        // Every ring is loaded by a message that is refused, so that no device waits.
        for device in 0..8 {
            bench.ask(user_of(device), device, 0, Body::Send(send_after(99, 98)));
        }
        bench.settle();
        let mut model = Model {
            tip: 1, sent: BTreeMap::new(), active: ["a", "b"].into(), pushed: Vec::new(),
            messages: BTreeMap::new(), spans: [("a", vec![(1, u64::MAX)]), ("b", vec![(1, u64::MAX)])].into(),
        };
        let mut expected = BTreeMap::new();
        for (re, op) in ops.iter().enumerate().filter(|(_, op)| !is_about_a(op)) {
            match op {
                Op::Applied if bench.append.is_some() => bench.applied(),
                Op::Applied => {}
                Op::Change { device, n, recalls, back } => {
                    let re = re as u64 + 1;
                    let kind = if *recalls { relation::Kind::Recall } else { relation::Kind::Edit };
                    let body = Body::Send(related(*n, kind, model.target(*back)));
                    expected.insert(re, model.serve(op));
                    bench.ask(user_of(*device), *device, re, body);
                }
                Op::Send { device, .. } | Op::Add { device, .. } | Op::Remove { device, .. } => {
                    let re = re as u64 + 1;
                    expected.insert(re, model.serve(op));
                    bench.ask(user_of(*device), *device, re, body(op));
                }
            }
        }
        bench.settle();
        let told = bench.told();
        prop_assert_eq!(told.len(), expected.len());
        prop_assert_eq!(told.into_iter().collect::<BTreeMap<_, _>>(), expected);
        prop_assert_eq!(bench.pushed(), model.pushed);
        prop_assert_eq!(bench.log.tip(), model.tip);
    }
}
