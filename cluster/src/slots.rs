//! Who owns which slot: a pure function of the channel nodes that are alive.
//!
//! Rendezvous hashing: each node draws as many lots for a slot as its weight says, and the highest lot of all has the
//! slot. So a node that comes takes slots from the others and moves none between them, a node that goes leaves all
//! others what they have, and whoever sees the same nodes computes the same owners, on any machine: there is nothing
//! but whole numbers in it. A node's share is its part of all weights, with the spread of a fair draw: of 4,096 slots
//! a node that is due `m` has about `m ± √m`, and in the tests never more than `m + 6√m + 6`.

use idgen::NodeId;

use crate::slot::{SLOTS, Slot};

/// Weights that a node may have; 16 is what an ordinary machine has.
pub const WEIGHTS: std::ops::RangeInclusive<u32> = 1..=64;

/// A channel node that may own slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub node: NodeId,
    /// Held to [`WEIGHTS`].
    pub weight: u32,
    /// It is going: it owns slots only if every candidate is.
    pub draining: bool,
}

/// The owner of each slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    nodes: Vec<NodeId>,
    /// Index into `nodes` by slot; empty if there are none.
    owners: Box<[u16]>,
}

/// The lots of every candidate, for any slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lots {
    /// Sorted, one each.
    nodes: Vec<NodeId>,
    /// By node, one seed for each lot.
    seeds: Vec<Vec<u64>>,
}

impl Lots {
    /// The order of the candidates does not matter; of two with the same id one counts.
    pub fn of(candidates: &[Candidate]) -> Lots {
        let mut taking = taking(candidates);
        taking.sort_unstable_by_key(|candidate| (candidate.node, candidate.weight));
        taking.dedup_by_key(|candidate| candidate.node);
        let nodes = taking.iter().map(|candidate| candidate.node).collect();
        Lots { nodes, seeds: taking.iter().map(seeds).collect() }
    }

    /// Whose lot for this slot is the highest; `None` if there are no nodes.
    pub fn winner(&self, slot: Slot) -> Option<NodeId> {
        self.winner_at(slot).map(|at| self.nodes[at])
    }

    // Of equal lots that of the lowest node wins.
    fn winner_at(&self, slot: Slot) -> Option<usize> {
        let salt = mix(u64::from(slot.number()) ^ (u64::from(SLOTS) << 32));
        let best = |seeds: &Vec<u64>| seeds.iter().map(|seed| mix(seed ^ salt)).max();
        let drawn = self.seeds.iter().enumerate().map(|(at, seeds)| (best(seeds), std::cmp::Reverse(at)));
        drawn.max().map(|(_, std::cmp::Reverse(at))| at)
    }
}

impl Table {
    /// Draws the lots of every slot.
    pub fn draw(candidates: &[Candidate]) -> Table {
        let lots = Lots::of(candidates);
        // There are at most 4,096 numbers for nodes.
        let at = |slot| lots.winner_at(slot).and_then(|at| u16::try_from(at).ok());
        let owners = Slot::all().filter_map(at).collect();
        Table { nodes: lots.nodes, owners }
    }

    /// The slot's owner; `None` if there are no nodes.
    pub fn owner(&self, slot: Slot) -> Option<NodeId> {
        self.owners.get(usize::from(slot.number())).map(|&at| self.nodes[usize::from(at)])
    }

    /// The nodes that take part.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// The slots of one node.
    pub fn owned_by(&self, node: NodeId) -> impl Iterator<Item = Slot> + '_ {
        Slot::all().filter(move |&slot| self.owner(slot) == Some(node))
    }
}

fn taking(candidates: &[Candidate]) -> Vec<Candidate> {
    let staying: Vec<Candidate> = candidates.iter().filter(|one| !one.draining).copied().collect();
    if staying.is_empty() { candidates.to_vec() } else { staying }
}

/// One seed for each lot that a node draws.
fn seeds(candidate: &Candidate) -> Vec<u64> {
    let weight = candidate.weight.clamp(*WEIGHTS.start(), *WEIGHTS.end());
    (0..u64::from(weight)).map(|lot| mix(mix(candidate.node.as_u64()) ^ lot)).collect()
}

// The finaliser of SplitMix64: every bit of the input moves every bit of the output.
fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
