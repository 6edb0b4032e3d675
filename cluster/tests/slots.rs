//! Who owns what: balanced, the same everywhere, and nothing moves that need not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::net::Ipv4Addr;

use idgen::{NodeId, NodeType, WorkerNumber};
use proptest::prelude::*;
use whimbrel_cluster::record::Rebalance;
use whimbrel_cluster::slots::{Candidate, Lots, Table};
use whimbrel_cluster::{NodeRecord, SLOTS, Slot, View};

fn node(kind: NodeType, number: u16) -> NodeId {
    NodeId::new(kind, WorkerNumber::new(number).unwrap(), Ipv4Addr::LOCALHOST, 7500).unwrap()
}

fn candidate(number: u16, weight: u32) -> Candidate {
    Candidate { node: node(NodeType::Channel, number), weight, draining: false }
}

/// Up to a dozen nodes of any weight that is usual.
fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::btree_map(0_u16..4096, 1_u32..=32, 1..=12)
        .prop_map(|nodes| nodes.into_iter().map(|(number, weight)| candidate(number, weight)).collect())
}

fn slots_of(table: &Table) -> HashMap<NodeId, f64> {
    let mut slots = HashMap::new();
    for slot in Slot::all() {
        *slots.entry(table.owner(slot).expect("every slot has an owner")).or_insert(0.0) += 1.0;
    }
    slots
}

/// The bound that the module states.
fn assert_balanced(candidates: &[Candidate]) {
    let weights: u32 = candidates.iter().map(|one| one.weight).sum();
    let slots = slots_of(&Table::draw(candidates));
    for one in candidates {
        let due = f64::from(SLOTS) * f64::from(one.weight) / f64::from(weights);
        let has = slots.get(&one.node).copied().unwrap_or(0.0);
        assert!((has - due).abs() <= 6.0 * due.sqrt() + 6.0, "{one:?} has {has}, is due {due}");
    }
}

/// Every 64th slot from one on: what holds for each slot by itself is tried on a few at a time.
fn some_slots(first: u16) -> impl Iterator<Item = Slot> {
    (first..SLOTS).step_by(64).map(|number| Slot::from_number(number).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_change_moves_only_what_it_must(before in candidates(), at in any::<prop::sample::Index>(), what in 0..3, first in 0_u16..64) {
        let mut after = before.clone();
        let changed = after[at.index(after.len())].node;
        match what {
            0 => after.retain(|one| one.node != changed),
            1 => after.iter_mut().filter(|one| one.node == changed).for_each(|one| one.draining = true),
            _ => after.iter_mut().filter(|one| one.node == changed).for_each(|one| one.weight += 1),
        }
        let (one, other) = (Lots::of(&before), Lots::of(&after));
        let left = after.iter().filter(|one| one.node != changed).count();
        for slot in some_slots(first) {
            let (was, is) = (one.winner(slot), other.winner(slot));
            if what < 2 && left > 0 {
                prop_assert_ne!(is, Some(changed));
            }
            if was == is {
                continue;
            }
            // A heavier node only gains; one that goes only loses, and nothing else changes hands.
            prop_assert_eq!(if what == 2 { is } else { was }, Some(changed));
        }
    }

    #[test]
    fn every_node_draws_the_same(nodes in candidates(), turn in any::<prop::sample::Index>()) {
        let mut turned = nodes.clone();
        turned.rotate_left(turn.index(nodes.len()));
        turned.push(nodes[0]);
        prop_assert_eq!(Lots::of(&nodes), Lots::of(&turned));
    }
}

#[test]
fn equal_nodes_have_about_equal_shares() {
    for count in [1, 2, 3, 5, 8, 16, 32, 64] {
        for first in [0, 100, 2_000] {
            assert_balanced(&(first..first + count).map(|number| candidate(number, 16)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_table_is_what_the_lots_say() {
    let nodes = [candidate(1, 16), candidate(2, 5), candidate(3, 30)];
    let (lots, table) = (Lots::of(&nodes), Table::draw(&nodes));
    assert!(Slot::all().all(|slot| table.owner(slot) == lots.winner(slot)));
}

#[test]
fn weights_are_shares() {
    assert_balanced(&[candidate(1, 16), candidate(2, 32), candidate(3, 8), candidate(4, 64)]);
    assert_balanced(&[candidate(9, 1), candidate(10, 64)]);
    let zero = Table::draw(&[candidate(1, 0), candidate(2, 1)]);
    assert_eq!(zero, Table::draw(&[candidate(1, 1), candidate(2, 1)]));
}

#[test]
fn three_equal_nodes_are_within_a_tenth() {
    let slots = slots_of(&Table::draw(&[candidate(1, 16), candidate(2, 16), candidate(3, 16)]));
    let most = slots.values().copied().fold(0.0, f64::max);
    assert!(most / (f64::from(SLOTS) / 3.0) < 1.1, "{slots:?}");
}

/// A build that draws otherwise would fight over every slot with one that draws so.
#[test]
fn owners_do_not_move_between_versions() {
    let table = Table::draw(&[candidate(1, 16), candidate(2, 16), candidate(3, 32)]);
    let first: Vec<u16> =
        Slot::all().take(16).map(|slot| table.owner(slot).unwrap().number().get()).collect();
    assert_eq!(first, FIRST_OWNERS);
}

const FIRST_OWNERS: [u16; 16] = [2, 3, 2, 3, 2, 2, 3, 3, 3, 3, 3, 1, 3, 3, 3, 3];

#[test]
fn nodes_that_go_own_nothing_unless_all_go() {
    let going = |number| Candidate { draining: true, ..candidate(number, 16) };
    let table = Table::draw(&[candidate(1, 1), going(2)]);
    assert_eq!(table.owned_by(node(NodeType::Channel, 1)).count(), usize::from(SLOTS));
    assert_eq!(Table::draw(&[going(1), going(2)]), Table::draw(&[candidate(1, 16), candidate(2, 16)]));
    assert_eq!(Table::draw(&[]).owner(Slot::of_user("a", "b")), None);
}

#[test]
fn a_view_knows_its_nodes_and_only_channel_nodes_own() {
    let (connector, channel) = (node(NodeType::Connector, 1), node(NodeType::Channel, 2));
    let stale = NodeRecord { weight: 1, ..NodeRecord::new(channel, 3) };
    let view = View::new(7, vec![NodeRecord::new(channel, 5), stale, NodeRecord::new(connector, 1)]);
    assert_eq!(view.node(channel).map(|record| record.incarnation), Some(5));
    assert_eq!((view.connectors().count(), view.channels().count()), (1, 1));
    assert_eq!(view.owned_by(channel).count(), usize::from(SLOTS));
    assert_eq!(view.node(node(NodeType::Channel, 9)), None);
    assert_eq!(View::new(1, vec![NodeRecord::new(connector, 1)]).owner(Slot::of_user("a", "b")), None);
}

#[test]
fn a_record_is_read_as_it_was_published() {
    let record = NodeRecord {
        link: "10.0.0.1:7500".into(),
        endpoints: vec!["tcp://a:1".into(), "wss://b".into()],
        connections: 9,
        draining: true,
        process: [7; 16],
        program: "whimbrel".into(),
        store_alone: true,
        rebalance: Some(Rebalance { id: 5, share: 100, per_second: 50, devices: 30, moved: 20, done: false }),
        links: 2,
        lag_ms: 4_000,
        ..NodeRecord::new(node(NodeType::Channel, 4095), 77)
    };
    assert_eq!(NodeRecord::decode(&record.encode()), Ok(record.clone()));
    for end in 1..record.encode().len() {
        // Cut anywhere it is refused or at least no panic; whole fields may be missing.
        _ = NodeRecord::decode(&record.encode()[..end]);
    }
    assert!(NodeRecord::decode(&[0xFF; 64]).is_err());
    assert!(NodeRecord::decode(&vec![0; 9_000]).is_err());
    assert!(NodeRecord::decode(&[]).is_err(), "nobody has node id 0");
}

#[test]
fn what_an_operator_notes_on_a_record_survives_its_node() {
    let own = NodeRecord { connections: 7, ..NodeRecord::new(node(NodeType::Connector, 1), 3) };
    let asked = Rebalance { id: 1, share: 100, per_second: 50, devices: 0, moved: 0, done: false };
    let published = NodeRecord { connections: 1, draining: true, rebalance: Some(asked), ..own.clone() };
    let noted = own.asked(&published);
    assert_eq!((noted.connections, noted.draining, noted.rebalance), (7, true, Some(asked)));
    // What the node has got to with it is not taken back by what it wrote before.
    let begun = NodeRecord { rebalance: Some(Rebalance { devices: 9, moved: 3, ..asked }), ..own.clone() };
    assert_eq!(begun.asked(&published).rebalance, begun.rebalance);
    let again = Rebalance { id: 2, ..asked };
    assert_eq!(begun.asked(&NodeRecord { rebalance: Some(again), ..published }).rebalance, Some(again));
}

#[test]
fn owners_are_drawn_again_only_where_the_channel_nodes_change() {
    let channels = |numbers: &[u16]| -> Vec<NodeRecord> {
        numbers.iter().map(|n| NodeRecord::new(node(NodeType::Channel, *n), 1)).collect()
    };
    let first = View::new(1, channels(&[1, 2]));
    let counted = channels(&[1, 2]).into_iter().map(|record| NodeRecord { connections: 5, ..record });
    let second =
        first.followed_by(2, counted.chain([NodeRecord::new(node(NodeType::Connector, 9), 1)]).collect());
    let third = second.followed_by(3, channels(&[1, 2, 3]));
    for (view, numbers) in [(&second, &[1, 2][..]), (&third, &[1, 2, 3])] {
        let drawn = View::new(view.version, channels(numbers));
        assert!(Slot::all().all(|slot| view.owner(slot) == drawn.owner(slot)), "{numbers:?}");
    }
}
