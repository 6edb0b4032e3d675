//! Every device looked at once.

use super::layout::{Layout, slot};

/// What is counted over all devices. Where a node joins it is one more; where one dies it is the first, or of our channel
/// nodes the one with most slots.
#[derive(Debug, Default, PartialEq)]
pub struct Census {
    pub devices: u64,
    /// Devices whose node changes under modulo.
    pub modulo_joins: u64,
    pub modulo_dies: u64,
    /// Devices on the node that dies, where all nodes hold devices.
    pub on_node: u64,
    /// Devices on the connector that dies.
    pub on_connector: u64,
    /// Routes that the fullest channel node keeps.
    pub most_routes: u64,
    /// Routes whose owner changes.
    pub routes_join: u64,
    pub routes_die: u64,
    /// The share of all slots, hence of conversations, that the channel node which dies had; of 1.
    pub slots_die: f64,
}

impl Census {
    pub fn take(layout: &Layout, devices: u64) -> Census {
        let (slots, fullest) = layout.fullest();
        let (now, joined, without) = (layout.owners(), layout.joined(), layout.without(fullest));
        let mut census = Census { devices, ..Census::default() };
        census.slots_die = f64::from(slots) / now.len() as f64;
        let mut routes = vec![0u64; layout.channels as usize];
        let nodes = layout.nodes;
        for user in 0..devices {
            let before = Layout::modulo(user, nodes);
            census.modulo_joins += u64::from(Layout::modulo(user, nodes + 1) != before);
            census.modulo_dies += u64::from(nodes_but_first(user, nodes) != before);
            census.on_node += u64::from(Layout::place(user, nodes) == 0);
            census.on_connector += u64::from(Layout::place(user, layout.connectors) == 0);
            let slot = usize::from(slot(user).number());
            routes[now[slot] as usize] += 1;
            census.routes_join += u64::from(joined[slot] != now[slot]);
            census.routes_die += u64::from(without[slot] != now[slot]);
        }
        census.most_routes = routes.into_iter().max().unwrap_or_default();
        census
    }

    /// Of a hundred devices.
    pub fn percent(&self, devices: u64) -> f64 {
        100.0 * devices as f64 / self.devices.max(1) as f64
    }
}

/// Where modulo has a device once the first node is gone: those that are left are counted from it on.
fn nodes_but_first(user: u64, nodes: u32) -> u32 {
    1 + Layout::modulo(user, nodes - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_move_does() {
        let (layout, devices) = (Layout::new(30), 30_000);
        let census = Census::take(&layout, devices);
        let near = |count: u64, share: f64| (census.percent(count) - 100.0 * share).abs() < 3.0;
        assert!(near(census.modulo_joins, 30.0 / 31.0), "{census:?}");
        assert!(near(census.modulo_dies, 1.0 - 1.0 / 30.0), "{census:?}");
        assert!(near(census.on_node, 1.0 / 30.0) && near(census.on_connector, 1.0 / 20.0), "{census:?}");
        assert!(near(census.routes_join, 1.0 / 11.0), "{census:?}");
        // The fullest of ten dies: all that it had moves, and nothing else.
        assert!(near(census.routes_die, census.slots_die), "{census:?}");
        assert!((0.1..0.14).contains(&census.slots_die), "{census:?}");
        assert!(census.most_routes.abs_diff(census.routes_die) < devices / 100, "{census:?}");
    }
}
