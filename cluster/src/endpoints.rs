//! Where devices connect: which connectors take them, by how many each holds. Pure.

use idgen::NodeId;

use crate::membership::View;
use crate::record::NodeRecord;

/// Connectors that take devices and say where, those with the fewest devices first. One that is about to go takes none.
pub fn by_load(view: &View) -> Vec<&NodeRecord> {
    let takes = |record: &&NodeRecord| !record.draining && !record.endpoints.is_empty();
    let mut open: Vec<&NodeRecord> = view.connectors().filter(takes).collect();
    open.sort_by_key(|record| (record.connections, record.node));
    open
}

/// A connector that devices may be sent to, and how many have been since it said how many it holds.
#[derive(Clone, Debug)]
struct Other {
    node: NodeId,
    connections: u32,
    sent: u32,
    endpoints: Vec<String>,
}

/// The other connectors, as one of them sees them that sends devices away.
#[derive(Clone, Debug, Default)]
pub struct Others {
    /// The view's that it was made of.
    version: u64,
    others: Vec<Other>,
    /// Connectors that take devices, those included that do not say where.
    open: usize,
}

impl Others {
    /// Brings it up to a view. Who has not counted anew since is still owed what was sent.
    pub fn follow(&mut self, view: &View, me: NodeId) {
        if self.version == view.version {
            return;
        }
        let sent = |record: &NodeRecord| {
            let before = self.others.iter().find(|other| other.node == record.node);
            before.filter(|other| other.connections == record.connections).map_or(0, |other| other.sent)
        };
        let other = |record: &NodeRecord| Other {
            node: record.node,
            connections: record.connections,
            sent: sent(record),
            endpoints: record.endpoints.clone(),
        };
        let others = by_load(view).into_iter().filter(|record| record.node != me).map(other).collect();
        let open = view.connectors().filter(|record| !record.draining && record.node != me).count();
        *self = Others { version: view.version, others, open };
    }

    /// How many other connectors take devices.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Where the next device goes that speaks one of these schemes, the better first: to whoever has the fewest,
    /// counting those that were sent there already.
    pub fn next(&mut self, schemes: &[&str]) -> Option<String> {
        let speaks = |other: &&mut Other| url(&other.endpoints, schemes).is_some();
        let least = self.others.iter_mut().filter(speaks);
        let least = least.min_by_key(|other| u64::from(other.connections) + u64::from(other.sent))?;
        least.sent = least.sent.saturating_add(1);
        url(&least.endpoints, schemes).map(str::to_owned)
    }

    /// Up to `most` places that speak one of these schemes, one for each connector.
    pub fn list(&self, schemes: &[&str], most: usize) -> Vec<String> {
        let urls = self.others.iter().filter_map(|other| url(&other.endpoints, schemes));
        urls.take(most).map(str::to_owned).collect()
    }
}

fn url<'a>(endpoints: &'a [String], schemes: &[&str]) -> Option<&'a str> {
    let of = |scheme: &&str| {
        endpoints.iter().find(|url| url.split_once("://").is_some_and(|(found, _)| found == *scheme))
    };
    schemes.iter().find_map(of).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use idgen::{NodeType, WorkerNumber};

    use super::*;

    fn connector(number: u16, connections: u32) -> NodeRecord {
        let node = WorkerNumber::new(number).unwrap();
        let node = NodeId::new(NodeType::Connector, node, Ipv4Addr::LOCALHOST, 1).unwrap();
        let endpoints = vec![format!("tcp://{number}:1"), format!("tls://{number}:1")];
        NodeRecord { connections, endpoints, ..NodeRecord::new(node, 1) }
    }

    fn numbers(view: &View) -> Vec<u16> {
        by_load(view).iter().map(|record| record.node.number().get()).collect()
    }

    #[test]
    fn the_emptiest_is_first_and_who_goes_or_says_nothing_is_left_out() {
        let going = NodeRecord { draining: true, ..connector(4, 0) };
        let silent = NodeRecord { endpoints: Vec::new(), ..connector(5, 0) };
        let view = View::new(1, vec![connector(1, 9), connector(2, 3), connector(3, 5), going, silent]);
        assert_eq!(numbers(&view), [2, 3, 1]);
        assert_eq!(numbers(&View::new(1, Vec::new())), [0; 0]);
    }

    #[test]
    fn devices_that_are_sent_away_fill_the_others_evenly() {
        let me = connector(1, 900);
        let mut others = Others::default();
        others.follow(&View::new(1, vec![me.clone(), connector(2, 10), connector(3, 0)]), me.node);
        let sent = |others: &mut Others, times: usize| {
            let to: Vec<String> = (0..times).filter_map(|_| others.next(&["tcp"])).collect();
            [2, 3].map(|number| to.iter().filter(|url| **url == format!("tcp://{number}:1")).count())
        };
        assert_eq!(sent(&mut others, 10), [0, 10], "the emptier first");
        assert_eq!(sent(&mut others, 100), [50, 50]);
        // One has counted anew, the other has not.
        others.follow(&View::new(2, vec![me.clone(), connector(2, 60), connector(3, 0)]), me.node);
        assert_eq!(sent(&mut others, 10), [5, 5], "both have 60");
        assert_eq!(others.open(), 2);
    }

    #[test]
    fn a_device_goes_only_where_its_transport_is_spoken() {
        let mut others = Others::default();
        assert_eq!(others.next(&["tcp"]), None);
        let me = connector(1, 0);
        others.follow(&View::new(1, vec![me.clone(), connector(2, 0), connector(3, 5)]), me.node);
        assert_eq!(others.next(&["wss", "ws"]), None);
        assert_eq!(others.next(&["tls", "tcp"]).as_deref(), Some("tls://2:1"));
        assert_eq!(others.list(&["tls"], 3), ["tls://2:1", "tls://3:1"]);
        assert_eq!(others.list(&["tls"], 1).len(), 1);
    }
}
