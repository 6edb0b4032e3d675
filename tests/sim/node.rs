//! One node of a cluster: the real one, with its real membership and links, in a process of its own.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use channel::config::ChannelConfig;
use channel::node::ChannelNode;
use cluster::link::LinkConfig;
use cluster::link::hello::Me;
use cluster::link::listen::{LinkHost, LinkPort};
use cluster::link::stream::Chance;
use cluster::{
    ChannelLink, ConnectorLink, FixedMembership, Membership, NodeRecord, View, ZooKeeperConfig,
    ZooKeeperMembership,
};
use connector::Connector;
use idgen::{NodeId, NodeType, WorkerNumber};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::gateway::{Birth, Parts, Setup, connector_config, open_store, verifier};
use crate::links::{DownTap, Tap, UpTap};
use crate::mutant::Mutant;
use crate::session::Way;
use crate::wires::SimDial;

/// The cluster's name.
const NAME: &str = "sim";

/// What a node is made with.
#[derive(Clone)]
pub struct Plan {
    pub kind: NodeType,
    /// Its seat in the world.
    pub seat: usize,
    pub lease: Duration,
    /// What its links draw from.
    pub seed: u64,
}

impl Plan {
    /// Where its links are taken.
    pub fn address(seat: usize) -> String {
        format!("seat-{seat}:1")
    }

    async fn join(&self, birth: &Birth) -> Option<Arc<ZooKeeperMembership>> {
        let ip = Ipv4Addr::from(0x0A00_0000 + self.seat as u32);
        let node = NodeId::new(self.kind, WorkerNumber::new(0).ok()?, ip, 1).ok()?;
        let is_channel = self.kind == NodeType::Channel;
        let link = if is_channel { Plan::address(self.seat) } else { String::new() };
        let endpoints = if is_channel { Vec::new() } else { vec![format!("tcp://seat-{}:2", self.seat)] };
        // Few lots: each of its 4,096 slots costs as many draws.
        let weight = 1 + self.seat as u32 % 3;
        let record = NodeRecord { link, endpoints, weight, ..NodeRecord::new(node, 0) };
        let config = ZooKeeperConfig {
            servers: NAME.into(),
            cluster: NAME.into(),
            path: format!("/{NAME}"),
            user: None,
            session_timeout: self.lease,
            number: None,
        };
        let way = Way { hub: birth.hub.clone(), timeout: self.lease };
        ZooKeeperMembership::join_at(way, config, record).await.ok()
    }

    fn link_config(&self, birth: &Birth, member: &ZooKeeperMembership) -> LinkConfig {
        let me = Me { cluster: NAME.into(), node: member.node(), incarnation: member.incarnation() };
        let (dial, chance) = (Arc::new(SimDial(birth.hub.clone())), Chance::seeded(self.seed));
        LinkConfig { dial, chance, ..LinkConfig::new(me) }
    }
}

/// The membership as the parts of a node follow it: told one after the other, always in the same order. Who waits for one
/// `watch` is woken in any.
struct InOrder {
    member: Arc<ZooKeeperMembership>,
    told: Mutex<Vec<watch::Sender<Arc<View>>>>,
}

impl InOrder {
    fn of(member: &Arc<ZooKeeperMembership>) -> Arc<InOrder> {
        let all = Arc::new(InOrder { member: member.clone(), told: Mutex::default() });
        tokio::spawn(all.clone().tell());
        all
    }

    async fn tell(self: Arc<Self>) {
        let mut views = self.member.watch();
        while views.changed().await.is_ok() {
            let view = views.borrow_and_update().clone();
            let mut told = self.told.lock();
            told.retain(|one| !one.is_closed());
            told.iter().for_each(|one| drop(one.send_replace(view.clone())));
        }
    }
}

impl Membership for InOrder {
    fn snapshot(&self) -> Arc<View> {
        self.member.snapshot()
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        let (one, views) = watch::channel(self.snapshot());
        self.told.lock().push(one);
        views
    }
}

/// Starts a node.
pub async fn boot(plan: Plan, setup: Setup, birth: Birth) -> Option<Parts> {
    let member = plan.join(&birth).await?;
    match plan.kind {
        NodeType::Channel => boot_channel(&plan, &setup, &birth, member).await,
        _ => boot_connector(&plan, &setup, &birth, member),
    }
}

async fn boot_channel(
    plan: &Plan,
    setup: &Setup,
    birth: &Birth,
    member: Arc<ZooKeeperMembership>,
) -> Option<Parts> {
    let mut config = ChannelConfig::new(member.node(), member.node().number());
    (config.slot_tasks, config.sole_owner, config.lease) = (2, setup.sole_owner, member.lease());
    let (store, clock) = (open_store(setup, birth), birth.clock.clone());
    let node = ChannelNode::join(config, store, clock, owners(setup, &member)).await.ok()?;
    let links = plan.link_config(birth, &member);
    node.follow(links.clone());
    let tap = Arc::new(Tap::new(birth.hub.clone(), setup.mutant, birth.links_down.clone()));
    let host = Arc::new(TappedHost { node: node.clone(), tap, links: Mutex::default() });
    let port = LinkPort::new(Arc::new(links), host, InOrder::of(&member));
    Some(Parts { node: Some(node), connectors: Vec::new(), member: Some(member), port: Some(port) })
}

/// Who owns what, as the node is told.
fn owners(setup: &Setup, member: &Arc<ZooKeeperMembership>) -> Arc<dyn Membership> {
    match setup.mutant {
        Some(Mutant::OwnersStay) => Arc::new(FixedMembership::of((*member.snapshot()).clone())),
        _ => InOrder::of(member),
    }
}

fn boot_connector(
    plan: &Plan,
    setup: &Setup,
    birth: &Birth,
    member: Arc<ZooKeeperMembership>,
) -> Option<Parts> {
    let config = connector_config(setup, member.node());
    let connector = Connector::new(config, verifier()?, birth.clock.clone(), InOrder::of(&member));
    connector.follow(plan.link_config(birth, &member));
    Some(Parts { node: None, connectors: vec![connector], member: Some(member), port: None })
}

/// Takes links for a channel node, and watches what they carry.
struct TappedHost {
    node: Arc<ChannelNode>,
    tap: Arc<Tap>,
    /// Links as they came, and as the node knows them.
    links: Mutex<Vec<(Arc<dyn ConnectorLink>, Arc<dyn ConnectorLink>)>>,
}

impl LinkHost for TappedHost {
    fn connect(&self, link: Arc<dyn ConnectorLink>) -> Arc<dyn ChannelLink> {
        let mut links = self.links.lock();
        let known = links.iter().find(|(one, _)| Arc::ptr_eq(one, &link)).map(|(_, tapped)| tapped.clone());
        let tapped = known.unwrap_or_else(|| {
            let tapped: Arc<dyn ConnectorLink> =
                Arc::new(DownTap { tap: self.tap.clone(), inner: link.clone() });
            links.push((link.clone(), tapped.clone()));
            tapped
        });
        drop(links);
        Arc::new(UpTap { tap: self.tap.clone(), from: link.node(), inner: self.node.connect(tapped) })
    }

    fn disconnect(&self, link: &Arc<dyn ConnectorLink>) {
        let mut links = self.links.lock();
        let at = links.iter().position(|(one, _)| Arc::ptr_eq(one, link));
        let gone = at.map(|at| links.swap_remove(at).1);
        drop(links);
        gone.iter().for_each(|tapped| self.node.disconnect(tapped));
    }
}
