//! Which node a user, a device or a conversation is with. Devices are users here: one each.

use std::io::Write as _;
use std::net::Ipv4Addr;

use cluster::Slot;
use cluster::slot::SLOTS;
use cluster::slots::{Candidate, Table};
use idgen::{NodeId, NodeType, WorkerNumber};

/// A connector and a channel node at least, beside what dies.
pub const MIN_NODES: u32 = 3;
/// Numbers that nodes may have.
pub const MAX_NODES: u32 = 4_096;

/// Of three nodes in our cluster one is a channel node.
const NODES_PER_CHANNEL: u32 = 3;
const ORDINARY_WEIGHT: u32 = 16;
const TENANT: &str = "demo";

/// A cluster of one size, with the same machines under each routing.
pub struct Layout {
    pub nodes: u32,
    /// The nodes of ours: connectors hold devices, channel nodes route and store.
    pub connectors: u32,
    pub channels: u32,
    /// By slot.
    owners: Vec<u32>,
}

impl Layout {
    pub fn new(nodes: u32) -> Layout {
        let channels = (nodes / NODES_PER_CHANNEL).max(1);
        Layout { nodes, connectors: nodes - channels, channels, owners: owners(&numbers(channels)) }
    }

    /// Under modulo a device has to connect to this node of so many.
    pub fn modulo(user: u64, nodes: u32) -> u32 {
        below(mix(user), nodes)
    }

    /// Where a device is under every other routing: at whichever of so many nodes the balancer chose.
    pub fn place(user: u64, nodes: u32) -> u32 {
        below(mix(user ^ PLACES), nodes)
    }

    /// The channel node that keeps the route to a user's devices.
    pub fn owner(&self, user: u64) -> u32 {
        self.owner_of(slot(user))
    }

    /// The channel node that numbers a conversation.
    pub fn conversation_owner(&self, conversation: u64) -> u32 {
        let mut name = [0; 24];
        self.owner_of(Slot::of_conversation(TENANT, text(conversation, &mut name)))
    }

    pub fn owner_of(&self, slot: Slot) -> u32 {
        self.owners[usize::from(slot.number())]
    }

    /// The slots of the channel node that has most of them, and that node.
    pub fn fullest(&self) -> (u32, u32) {
        let mut counts = vec![0; self.channels as usize];
        self.owners.iter().for_each(|&owner| counts[owner as usize] += 1);
        let most = counts.into_iter().zip(0..).max();
        most.unwrap_or_default()
    }

    /// Owners by slot once another channel node is there.
    pub fn joined(&self) -> Vec<u32> {
        owners(&numbers(self.channels + 1))
    }

    /// Owners by slot once a channel node is gone.
    pub fn without(&self, gone: u32) -> Vec<u32> {
        owners(&numbers(self.channels).into_iter().filter(|&number| number != gone).collect::<Vec<_>>())
    }

    /// Owners by slot now.
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }
}

/// A user's slot, by the name that the user has.
pub fn slot(user: u64) -> Slot {
    let mut name = [0; 24];
    Slot::of_user(TENANT, text(user, &mut name))
}

fn text(number: u64, buffer: &mut [u8; 24]) -> &str {
    let mut rest = &mut buffer[..];
    // Twenty digits are the most that a number has.
    _ = write!(rest, "{number}");
    let left = rest.len();
    std::str::from_utf8(&buffer[..24 - left]).unwrap_or_default()
}

fn numbers(channels: u32) -> Vec<u32> {
    (0..channels).collect()
}

/// The gateway's own function, for channel nodes of these numbers: who owns each slot. Nobody owns any without nodes.
fn owners(numbers: &[u32]) -> Vec<u32> {
    let candidates: Vec<Candidate> = numbers.iter().filter_map(|&number| candidate(number)).collect();
    let table = Table::draw(&candidates);
    let owner = |slot| table.owner(slot).map_or(u32::MAX, |node| u32::from(node.number().get()));
    let owners: Vec<u32> = Slot::all().map(owner).collect();
    debug_assert_eq!(owners.len(), usize::from(SLOTS));
    owners
}

fn candidate(number: u32) -> Option<Candidate> {
    let number = WorkerNumber::new(u16::try_from(number).ok()?).ok()?;
    let node = NodeId::new(NodeType::Channel, number, Ipv4Addr::LOCALHOST, 7_500).ok()?;
    Some(Candidate { node, weight: ORDINARY_WEIGHT, draining: false })
}

/// Tells where devices are from where modulo would have them.
const PLACES: u64 = 0x5EED_0F91_ACE5_0001;

// The finaliser of MurmurHash3: every bit of the input moves every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}

fn below(bits: u64, nodes: u32) -> u32 {
    // The remainder is below `nodes`.
    u32::try_from(bits % u64::from(nodes.max(1))).unwrap_or(0)
}
