//! Messages between nodes that a send costs under each routing. What goes between a device and its node, and answers to
//! senders, are the same under all and not counted; what never leaves a node is none.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::layout::Layout;

/// Ways to find the node that holds a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The node of a user follows from its name and the number of nodes.
    Modulo,
    /// A table of all users beside the nodes, whose entries have versions.
    Table,
    /// One node knows where everybody is; everything goes through it.
    Master,
    /// Everything goes to every node.
    Broadcast,
    /// Ours: conversations and users have slots, channel nodes own slots.
    Slots,
}

pub const WAYS: [Way; 5] = [Way::Modulo, Way::Table, Way::Master, Way::Broadcast, Way::Slots];

/// Receivers of the sends that are counted: one to one, and groups.
pub const RECEIVERS: [u64; 4] = [1, 100, 1_000, 10_000];

/// Receivers drawn for one figure, over all its sends.
const DRAWS: u64 = 200_000;
const SENDS: std::ops::RangeInclusive<u64> = 20..=2_000;

/// The mean over many draws of a sender and so many receivers among the devices.
pub fn mean(layout: &Layout, way: Way, devices: u64, receivers: u64, seed: u64) -> f64 {
    let sends = (DRAWS / receivers).clamp(*SENDS.start(), *SENDS.end());
    let mut rng = StdRng::seed_from_u64(seed);
    let mut counter = Counter::new(layout);
    let mut messages = 0;
    for _ in 0..sends {
        let (sender, conversation) = (rng.random_range(0..devices), rng.random());
        let drawn = (0..receivers).map(|_| rng.random_range(0..devices));
        messages += counter.send(way, sender, conversation, drawn);
    }
    messages as f64 / sends as f64
}

/// Counts the messages of one send after the other.
pub struct Counter<'a> {
    layout: &'a Layout,
    /// Nodes, or channel nodes.
    nodes: Seen,
    /// A channel node and a connector.
    pairs: Seen,
}

impl Counter<'_> {
    pub fn new(layout: &Layout) -> Counter<'_> {
        let pairs = layout.channels as usize * layout.connectors as usize;
        Counter { layout, nodes: Seen::new(layout.nodes as usize), pairs: Seen::new(pairs) }
    }

    pub fn send(
        &mut self,
        way: Way,
        sender: u64,
        conversation: u64,
        receivers: impl Iterator<Item = u64>,
    ) -> u64 {
        let nodes = self.layout.nodes;
        let from = |user| Layout::place(user, nodes);
        match way {
            Way::Modulo => {
                self.others(Layout::modulo(sender, nodes), receivers, |user| Layout::modulo(user, nodes))
            }
            // One question that names all receivers, one answer.
            Way::Table => 2 + self.others(from(sender), receivers, from),
            // The sender's node tells the master, who tells the others.
            Way::Master => 1 + self.others(from(sender), receivers, from),
            Way::Broadcast => u64::from(nodes) - 1,
            Way::Slots => self.through_slots(conversation, receivers),
        }
    }

    /// How many nodes beside its own a sender's node tells.
    fn others(&mut self, own: u32, receivers: impl Iterator<Item = u64>, of: impl Fn(u64) -> u32) -> u64 {
        self.nodes.clear();
        self.nodes.is_new(own as usize);
        receivers.filter(|&user| self.nodes.is_new(of(user) as usize)).count() as u64
    }

    /// The connector tells the conversation's owner; that tells the owners of the receivers, each once; and each of
    /// these the connectors of its receivers, each once.
    fn through_slots(&mut self, conversation: u64, receivers: impl Iterator<Item = u64>) -> u64 {
        let Layout { connectors, .. } = *self.layout;
        self.nodes.clear();
        self.pairs.clear();
        self.nodes.is_new(self.layout.conversation_owner(conversation) as usize);
        let mut messages = 1;
        for user in receivers {
            let (owner, place) = (self.layout.owner(user), Layout::place(user, connectors));
            messages += u64::from(self.nodes.is_new(owner as usize));
            let pair = owner as usize * connectors as usize + place as usize;
            messages += u64::from(self.pairs.is_new(pair));
        }
        messages
    }
}

/// Which of some numbers have come up since it was cleared. Clearing costs nothing.
struct Seen {
    marks: Vec<u32>,
    mark: u32,
}

impl Seen {
    fn new(numbers: usize) -> Seen {
        Seen { marks: vec![0; numbers], mark: 1 }
    }

    fn clear(&mut self) {
        self.mark += 1;
    }

    /// Whether it has not come up before; it has from now on.
    fn is_new(&mut self, number: usize) -> bool {
        std::mem::replace(&mut self.marks[number], self.mark) != self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_on_a_node_is_no_message() {
        let layout = Layout::new(9);
        let mut counter = Counter::new(&layout);
        let me = || [7].into_iter();
        assert_eq!(counter.send(Way::Modulo, 7, 0, me()), 0);
        assert_eq!(counter.send(Way::Table, 7, 0, me()), 2);
        assert_eq!(counter.send(Way::Broadcast, 7, 0, me()), 8);
    }

    #[test]
    fn nobody_is_told_twice() {
        let layout = Layout::new(9);
        let mut counter = Counter::new(&layout);
        // Everybody is somewhere: each other node once.
        assert_eq!(counter.send(Way::Modulo, 0, 0, 0..10_000), 8);
        assert_eq!(counter.send(Way::Master, 0, 0, 0..10_000), 1 + 8);
        // Owner, the two other channel nodes, and each of three tells each of six connectors.
        assert_eq!(counter.send(Way::Slots, 0, 0, 0..10_000), 1 + 2 + 3 * 6);
        assert_eq!(counter.send(Way::Modulo, 0, 0, 0..10_000), 8, "a send knows nothing of the one before");
    }

    #[test]
    fn one_to_one_is_bounded_whatever_the_size() {
        for nodes in [3, 30, 300] {
            let layout = Layout::new(nodes);
            let mean = |way| mean(&layout, way, 100_000, 1, 1);
            assert!(mean(Way::Modulo) <= 1.0 && mean(Way::Slots) <= 3.0 && mean(Way::Slots) >= 2.0);
            assert_eq!(mean(Way::Broadcast), f64::from(nodes - 1));
        }
    }
}
