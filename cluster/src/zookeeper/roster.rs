//! What ZooKeeper lists, as a view of the cluster. Pure.
//!
//! After an outage of ZooKeeper itself nodes have to publish themselves anew, one sooner than the other. For a while
//! after this node has found ZooKeeper again, whoever is missing is therefore still taken to be there: routing by an
//! old list does no harm, for links show who is dead and the store refuses who is superseded; moving every slot to
//! and fro does.

use std::collections::BTreeMap;

use idgen::NodeId;
use tokio::time::Instant;

use crate::membership::View;
use crate::record::NodeRecord;

/// Nodes that are taken to be alive.
#[derive(Debug, Default)]
pub struct Roster {
    nodes: BTreeMap<NodeId, NodeRecord>,
    /// Until then who is missing is kept.
    doubt_until: Option<Instant>,
    /// Somebody is kept so.
    keeps: bool,
    last: Option<View>,
}

impl Roster {
    /// A list has come; the new view if it differs from the one before.
    pub fn listed(&mut self, list: Vec<NodeRecord>, now: Instant) -> Option<View> {
        if self.doubt_until.is_some_and(|until| until <= now) {
            self.doubt_until = None;
        }
        let mut nodes: BTreeMap<NodeId, NodeRecord> =
            list.into_iter().map(|record| (record.node, record)).collect();
        self.keeps = false;
        if self.doubt_until.is_some() {
            for (id, record) in &self.nodes {
                // A number that is somebody else's now was given up by its holder.
                let taken = nodes.values().any(|other| other.node.number() == id.number());
                if !taken {
                    self.keeps = true;
                    nodes.insert(*id, record.clone());
                }
            }
        }
        if nodes == self.nodes && self.last.is_some() {
            return None;
        }
        self.nodes = nodes;
        let records = self.nodes.values().cloned().collect();
        let view = match &self.last {
            Some(before) => before.followed_by(before.version + 1, records),
            None => View::new(1, records),
        };
        self.last = Some(view.clone());
        Some(view)
    }

    /// ZooKeeper was out of reach: lists may be incomplete until then.
    pub fn doubt(&mut self, until: Instant) {
        self.doubt_until = Some(until);
    }

    /// When to list again although nothing has been heard; not before `earliest`.
    pub fn due(&self, earliest: Instant) -> Option<Instant> {
        self.doubt_until.filter(|_| self.keeps).map(|until| until.max(earliest))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use idgen::{NodeType, WorkerNumber};

    use super::*;

    fn record(number: u16) -> NodeRecord {
        let number = WorkerNumber::new(number).unwrap();
        NodeRecord::new(NodeId::new(NodeType::Channel, number, Ipv4Addr::LOCALHOST, 1).unwrap(), 1)
    }

    fn numbers(view: Option<View>) -> Option<Vec<u16>> {
        view.map(|view| view.nodes().iter().map(|record| record.node.number().get()).collect())
    }

    #[test]
    fn only_changes_make_views_and_versions_rise() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        let first = roster.listed(vec![record(1)], now).unwrap();
        assert_eq!(roster.listed(vec![record(1)], now), None);
        let second = roster.listed(vec![record(2), record(1)], now).unwrap();
        assert!(second.version > first.version);
        assert_eq!(numbers(roster.listed(vec![record(2)], now)), Some(vec![2]));
        assert_eq!(numbers(roster.listed(vec![], now)), Some(vec![]));
        assert_eq!(
            numbers(Roster::default().listed(vec![], now)),
            Some(vec![]),
            "an empty list is a view too"
        );
    }

    #[test]
    fn after_an_outage_who_is_missing_stays_for_a_while() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.listed(vec![record(1), record(2), record(3)], now);
        let until = now + Duration::from_secs(5);
        roster.doubt(until);
        assert_eq!(roster.listed(vec![], now), None);
        assert_eq!(roster.due(now), Some(until));
        let later = until + Duration::from_secs(1);
        assert_eq!(roster.due(later), Some(later), "overdue, and not to be looked at yet");
        assert_eq!(numbers(roster.listed(vec![record(4)], now)), Some(vec![1, 2, 3, 4]));
        assert_eq!(roster.listed(vec![record(1), record(4)], now), None);
        assert_eq!(numbers(roster.listed(vec![record(1), record(4)], until)), Some(vec![1, 4]));
        assert_eq!(roster.due(now), None);
    }

    #[test]
    fn a_number_that_somebody_else_has_now_is_not_kept() {
        let (mut roster, now) = (Roster::default(), Instant::now());
        roster.listed(vec![record(1)], now);
        roster.doubt(now + Duration::from_secs(5));
        let other =
            NodeId::new(NodeType::Connector, record(1).node.number(), Ipv4Addr::LOCALHOST, 9).unwrap();
        let view = roster.listed(vec![NodeRecord::new(other, 2)], now).unwrap();
        assert_eq!(view.nodes().iter().map(|record| record.node).collect::<Vec<_>>(), [other]);
    }
}
