//! Users who are online all the time, and one who watches them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Event};
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::nodes::Nodes;
use crate::support::tokens::TENANT;
use crate::support::{PATIENCE, http};

/// How many are online.
const USERS: usize = 24;
const WATCHER: &str = "watcher";
/// How often the watcher asks how everybody is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The users and their watcher.
pub struct Online {
    seen: Arc<Mutex<Seen>>,
    users: Vec<Client>,
    _tasks: JoinSet<()>,
}

/// What the watcher was told.
#[derive(Default)]
struct Seen {
    /// By user, what was told last.
    online: BTreeMap<String, bool>,
    /// Everybody has been seen online: from now on nobody may go.
    begun: bool,
    told: usize,
    /// Each time somebody was shown as offline who was not before.
    offline: Vec<String>,
}

impl Online {
    /// Everybody logs in; returns once the watcher has seen all of them online.
    pub async fn start(nodes: &Nodes) -> Online {
        let names: Vec<String> = (0..USERS).map(|number| format!("user-{number}")).collect();
        let log_in = async |user: &str| {
            let builder = Client::builder(nodes.balancer.url()).token(nodes.issuer.token(user));
            builder.installation("phone").wait_for_server(PATIENCE).connect().await.expect("it gets in")
        };
        let mut users = Vec::new();
        for name in &names {
            users.push(log_in(name).await);
        }
        let watcher = log_in(WATCHER).await;
        let room = watcher.create_conversation("everybody", names.iter().map(String::as_str)).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(ask(watcher.clone(), room.id().to_owned(), seen.clone()));
        tasks.spawn(listen(watcher, seen.clone()));
        let online = Online { seen, users, _tasks: tasks };
        online.all_seen().await;
        online.seen.lock().begun = true;
        online
    }

    async fn all_seen(&self) {
        let until = Instant::now() + PATIENCE;
        let count = || self.seen.lock().online.values().filter(|online| **online).count();
        while count() < USERS {
            assert!(Instant::now() < until, "only {} of {USERS} users are seen online", count());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Ends it: how often somebody was told to be offline, by the watcher's own account and by the presence stream.
    pub async fn finish(self, operator: SocketAddr) -> Vec<String> {
        self.all_seen().await;
        let mut offline = self.seen.lock().offline.clone();
        let told = self.seen.lock().told;
        assert!(told > USERS, "the watcher was told of nobody");
        offline.extend(recorded_offline(operator).await);
        println!("     the watcher was told {told} states of {} users", self.users.len());
        offline
    }
}

impl Seen {
    fn note(&mut self, user: &str, is_online: bool, how: &str) {
        if user == WATCHER {
            return;
        }
        self.told += 1;
        let was = self.online.insert(user.to_owned(), is_online);
        if self.begun && !is_online && was != Some(false) {
            println!("     OFFLINE {user}, {how}");
            self.offline.push(format!("{user}: {how}"));
        }
    }
}

async fn ask(watcher: Client, room: String, seen: Arc<Mutex<Seen>>) {
    loop {
        // A request that meets a restart fails, and is asked again.
        if let Ok(presences) = watcher.watch([room.clone()]).await {
            let mut seen = seen.lock();
            presences.iter().for_each(|presence| seen.note(&presence.user, presence.online, "asked"));
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn listen(watcher: Client, seen: Arc<Mutex<Seen>>) {
    let mut events = watcher.events();
    while let Some(event) = events.next().await {
        if let Event::Presence { user, online, .. } = event {
            seen.lock().note(&user, online, "told");
        }
    }
}

/// Who went offline, as the presence stream has it.
async fn recorded_offline(operator: SocketAddr) -> Vec<String> {
    let (mut offline, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/admin/presence?tenant={TENANT}&after={after}");
        let answer = http::get(operator, &path).await.expect("the operator is answered");
        let page: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let events = page["events"].as_array().expect("events").clone();
        let Some(last) = events.last().and_then(|event| event["seq"].as_u64()) else { return offline };
        after = last;
        let gone = events.iter().filter(|event| event["state"] == "offline");
        let named = gone.filter_map(|event| event["user"].as_str()).filter(|user| user.starts_with("user-"));
        offline.extend(named.map(|user| format!("{user}: in the presence stream")));
    }
}
