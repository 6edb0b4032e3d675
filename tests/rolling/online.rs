//! Users who are online all the time, and one who watches them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::{Client, Conversation, Event, Since};
use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use crate::support::tokens::{Issuer, TENANT};
use crate::support::{PATIENCE, http};

/// How many are online.
const USERS: usize = 24;
const WATCHER: &str = "watcher";
/// How often the watcher asks how everybody is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// The users and their watcher.
pub struct Online {
    pub users: Vec<Client>,
    seen: Arc<Mutex<Seen>>,
    room: Conversation,
    /// Where the presence stream ended when this began.
    recorded: u64,
    _tasks: JoinSet<()>,
}

/// What the watcher was told.
#[derive(Default)]
struct Seen {
    /// By user, what was told last.
    online: BTreeMap<String, bool>,
    /// Everybody has been seen online: from now on nobody may go.
    begun: bool,
    /// How often somebody was shown as offline while nobody could be reached, if that is so now.
    excused: Option<usize>,
    told: usize,
    /// Each time somebody was shown as offline who was not before.
    offline: Vec<String>,
}

impl Online {
    /// Everybody logs in at one address, and the watcher at the other; returns once it has seen all of them online.
    pub async fn start(issuer: &Issuer, address: &str, watchers: &str) -> Online {
        let names: Vec<String> = names().collect();
        let log_in = async |user: &str, address: &str| {
            let builder = Client::builder(address).token(issuer.token(user));
            builder.installation("phone").wait_for_server(PATIENCE).connect().await.expect("it gets in")
        };
        let mut users = Vec::new();
        for name in &names {
            users.push(log_in(name, address).await);
        }
        let watcher = log_in(WATCHER, watchers).await;
        let room = watcher.create_conversation("everybody", names.iter().map(String::as_str)).await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(ask(watcher.clone(), room.id().to_owned(), seen.clone()));
        tasks.spawn(listen(watcher, seen.clone()));
        let online = Online { users, seen, room, recorded: 0, _tasks: tasks };
        online.all_seen().await;
        online.seen.lock().begun = true;
        online
    }

    /// Waits until the watcher sees everybody online.
    pub async fn all_seen(&self) {
        let until = Instant::now() + PATIENCE;
        let missing = || self.seen.lock().missing();
        while !missing().is_empty() {
            assert!(Instant::now() < until, "not seen online: {:?}", missing());
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// From now on everybody may be shown as offline.
    #[allow(dead_code, reason = "in a rolling restart nobody is ever offline")]
    pub fn excuse(&self) {
        self.seen.lock().excused = Some(0);
    }

    /// From now on nobody may any more; how often that was seen since [`Online::excuse`].
    #[allow(dead_code, reason = "in a rolling restart nobody is ever offline")]
    pub async fn begin_anew(&mut self, operator: SocketAddr) -> usize {
        self.recorded = recorded_offline(operator, self.recorded).await.1;
        self.seen.lock().excused.take().unwrap_or(0)
    }

    /// The watcher says something to everybody; how many hear it.
    #[allow(dead_code, reason = "in a rolling restart others do the talking")]
    pub async fn told(&self, word: &str) -> usize {
        let reads: Vec<_> =
            self.users.iter().map(|user| user.conversation(self.room.id()).messages(Since::Start)).collect();
        self.room.send(word).await.expect("it is sent");
        let hears = reads.into_iter().map(async |mut messages| {
            let heard =
                async { while messages.next().await.is_some_and(|message| message.content.data != word) {} };
            tokio::time::timeout(PATIENCE, heard).await.is_ok()
        });
        futures::future::join_all(hears).await.into_iter().filter(|heard| *heard).count()
    }

    /// Waits until the watcher has been told that somebody is offline; whether that happens.
    #[allow(dead_code, reason = "in a rolling restart nobody goes")]
    pub async fn misses(&self, user: &str, limit: Duration) -> bool {
        let is_gone = || self.seen.lock().online.get(user) == Some(&false);
        let began = Instant::now();
        while !is_gone() && began.elapsed() < limit {
            tokio::time::sleep(ASK_EVERY).await;
        }
        is_gone()
    }

    /// Ends it: how often somebody was told to be offline, by the watcher's own account and by the presence stream.
    pub async fn finish(&self, operator: SocketAddr) -> Vec<String> {
        self.all_seen().await;
        let mut offline = self.seen.lock().offline.clone();
        let told = self.seen.lock().told;
        assert!(told > USERS, "the watcher was told of nobody");
        offline.extend(recorded_offline(operator, self.recorded).await.0);
        println!("     the watcher was told {told} states of {} users", self.users.len());
        offline
    }
}

fn names() -> impl Iterator<Item = String> {
    (0..USERS).map(|number| format!("user-{number}"))
}

impl Seen {
    /// Those who are not online by what was told last.
    fn missing(&self) -> Vec<String> {
        names().filter(|name| self.online.get(name) != Some(&true)).collect()
    }

    fn note(&mut self, user: &str, is_online: bool, how: &str) {
        if user == WATCHER {
            return;
        }
        self.told += 1;
        let was = self.online.insert(user.to_owned(), is_online);
        if !self.begun || is_online || was == Some(false) {
            return;
        }
        if let Some(excused) = &mut self.excused {
            *excused += 1;
        } else {
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

/// Who went offline, as the presence stream has it after this event, and where it ends.
async fn recorded_offline(operator: SocketAddr, mut after: u64) -> (Vec<String>, u64) {
    let mut offline = Vec::new();
    loop {
        let path = format!("/admin/presence?tenant={TENANT}&after={after}");
        let answer = http::get(operator, &path).await.expect("the operator is answered");
        let page: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let events = page["events"].as_array().expect("events").clone();
        let Some(last) = events.last().and_then(|event| event["seq"].as_u64()) else {
            return (offline, after);
        };
        after = last;
        let gone = events.iter().filter(|event| event["state"] == "offline");
        let named = gone.filter_map(|event| event["user"].as_str()).filter(|user| user.starts_with("user-"));
        offline.extend(named.map(|user| format!("{user}: in the presence stream")));
    }
}
