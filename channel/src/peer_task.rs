//! The task that keeps up with the other channel nodes: follows who owns what, asks and tells them of presence anew where
//! something was lost, and lets go of users who belong to them.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Slot, View};
use protocol::code::Code;
use protocol::node::v1::{Epoch, peer};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::login::Login;
use crate::peers::Peers;
use crate::presence::Noted;
use crate::rounds::Rounds;
use crate::routes::Routes;
use crate::watch::Watches;

/// How often it is looked whether everything is as it should be.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Connectors tell of the users of a slot that has moved at once. Who is not told of for so long is at a connector that
/// does not know of the change: its device is sent away, to connect again.
const STRAY_FOR: Duration = Duration::from_secs(30);

/// Everything that it touches.
pub struct PeerTask {
    pub peers: Arc<Peers>,
    pub routes: Arc<Routes>,
    pub watches: Arc<Watches>,
    pub login: Arc<Login>,
    pub rounds: Arc<Rounds>,
}

impl PeerTask {
    /// Keeps up until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut views = self.peers.views();
        let mut view = views.borrow_and_update().clone();
        self.peers.followed(view.clone());
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut sure, mut changed_at) = (false, Instant::now());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Ok(()) = views.changed() => {
                    let before = std::mem::replace(&mut view, views.borrow_and_update().clone());
                    if !view.has_owners_of(&before) {
                        (sure, changed_at) = (false, Instant::now());
                        self.owners_changed(&before, &view);
                    }
                    self.peers.followed(view.clone());
                }
                () = self.peers.wake.notified() => {}
                () = tokio::time::sleep_until(self.peers.unsure_until()), if !sure => {
                    sure = true;
                    self.peers.reachable().into_iter().for_each(|node| self.peers.fell_behind(node));
                }
                _ = look.tick() => self.look(changed_at),
            }
            self.peers.watch_all(|user| self.watches.is_watched(user));
            self.catch_up();
        }
    }

    /// Users come from other nodes, and are told of. Those who go are told of by others, as soon as connectors have said so.
    fn owners_changed(&self, before: &View, view: &View) {
        self.peers.owners_changed();
        self.peers.strayed();
        self.rounds.begin();
        let me = self.peers.me();
        for (tenant, user) in self.routes.users() {
            let slot = Slot::of_user(&tenant, &user);
            if view.owner(slot) == Some(me) && before.owner(slot) != Some(me) {
                let why = Noted { again: true, unwritten: true, ghost: None };
                self.watches.note(&tenant, &user, why);
            }
        }
        let told = |tenant: &str, user: &str| {
            let seen = self.routes.seen(tenant, user);
            (seen.told, seen.since_ms)
        };
        self.peers.watch_moved(&self.watches.watched_users(), told);
        self.tell_epoch();
    }

    fn look(&self, changed_at: Instant) {
        self.tell_epoch();
        if !self.peers.hears_all() {
            self.rounds.prolong();
        }
        if changed_at.elapsed() >= STRAY_FOR && self.peers.take_strayed() {
            let mut gone = Vec::new();
            let is_theirs = |tenant: &str, user: &str| !self.peers.owns(tenant, user);
            self.routes.forget_users(is_theirs, |route| gone.push(*route));
            gone.sort_unstable_by_key(|route| (route.device, route.epoch));
            for route in gone {
                self.watches.forget(route.device, route.epoch);
                self.login.kick(route, Code::UNAVAILABLE);
            }
        }
    }

    fn tell_epoch(&self) {
        let latest = self.login.last_epoch();
        for node in self.peers.reachable() {
            // It is told again soon.
            self.peers.say(node, peer::Body::Epoch(Epoch { latest }));
        }
    }

    fn catch_up(&self) {
        for node in self.peers.take_behind() {
            let users = self.peers.subscriptions.lock().watched_from(node);
            if !self.watches.tell_peer(node, &users) {
                self.peers.fell_behind(node);
            }
        }
    }
}
