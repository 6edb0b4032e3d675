//! With a store that never fails the core answers as if every request were served alone, in order of arrival:
//! batches and appends in flight must not show.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use protocol::code::Code;
use protocol::v1::Role;
use whimbrel_channel::conversation::event::Body;

use crate::support::*;

#[derive(Clone, Debug)]
enum Op {
    Send { device: u64, n: u64, after: Option<u64> },
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
        1 => (device.clone(), n.clone(), user.clone()).prop_map(|(device, n, user)| Op::Add { device, n, user }),
        1 => (device, n, user).prop_map(|(device, n, user)| Op::Remove { device, n, user }),
        3 => Just(Op::Applied),
    ]
}

/// The reference: no batches, no flight.
struct Model {
    tip: u64,
    sent: BTreeMap<(u64, u64), u64>,
    active: BTreeSet<&'static str>,
    pushed: Vec<(u64, Vec<String>)>,
}

impl Model {
    fn serve(&mut self, op: &Op) -> Told {
        match *op {
            Op::Send { device, n, after } => self.entry(device, n, |model| {
                match after.is_some_and(|after| !model.sent.contains_key(&(device, after))) {
                    true => Err(Code::OUT_OF_ORDER),
                    false => Ok((None, None)),
                }
            }),
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

    fn entry(
        &mut self,
        device: u64,
        n: u64,
        change: impl FnOnce(&Model) -> Result<(Option<&'static str>, Option<&'static str>), Code>,
    ) -> Told {
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
        self.pushed.push((self.tip, self.active.iter().map(|user| user.to_string()).collect()));
        if let Some(leaves) = leaves {
            self.active.remove(leaves);
        }
        Told::Ack(self.tip)
    }
}

fn body(op: &Op) -> Body {
    match *op {
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
        };
        let mut expected = BTreeMap::new();
        for (re, op) in ops.iter().enumerate().filter(|(_, op)| !is_about_a(op)) {
            match op {
                Op::Applied if bench.append.is_some() => bench.applied(),
                Op::Applied => {}
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
