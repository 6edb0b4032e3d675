//! F16: the same device logs in twice while its old connection's end is on its way for up to 30 s. The newest is
//! reached, at once and after the old end has arrived.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use crate::args::Scale;
use crate::clustered::Clustered;
use crate::report::{Report, progress};
use crate::support::device::{Recorder, entry, outcome};
use crate::support::history::{Entry, Event};
use crate::support::process::{Gateway, Settings};
use crate::support::proxy::{Proxy, Rules};
use crate::support::raw::{Raw, hello, text_to};

/// The longest way of an old connection's end.
const CLOSE_DELAY: Duration = Duration::from_secs(30);
/// Logins under way at once.
const AT_ONCE: usize = 32;
/// Devices in one batch: all of them wait out the delay beside each other.
const BATCH: usize = 1_000;
/// A push is there within this.
const HEARD: Duration = Duration::from_secs(10);
/// Senders that devices share.
const TELLERS: usize = 4;

pub async fn run(scale: Scale) -> Report {
    // Few tellers open a conversation with every device.
    let gateway = Gateway::with(Settings::new().set("limits.creations_at_once", 1_000_000)).await;
    doubly(&[&gateway], scale.pick(500, 10_000)).await
}

/// The second login is at another connector than the first; both ask the user's owner.
pub async fn in_cluster(scale: Scale, cluster: Clustered) -> Report {
    let doors: Vec<&Gateway> = cluster.nodes().await.connectors.iter().collect();
    doubly(&doors, scale.pick(100, 10_000)).await
}

async fn doubly(doors: &[&Gateway], logins: usize) -> Report {
    let mut report = Report::new();
    let (mut at_once, mut afterwards, mut takes) = (0, 0, Vec::new());
    let recorder = Recorder::new();
    let everything = Arc::new(Everything::prepare(doors, recorder.clone()).await);
    for from in (0..logins).step_by(BATCH) {
        progress(from, logins, "double logins");
        let mut batch = JoinSet::new();
        for n in from..(from + BATCH).min(logins) {
            batch.spawn(everything.clone().login_twice(n, doors[0].token(&format!("u{n}"))));
        }
        for (first, second, took) in batch.join_all().await {
            at_once += usize::from(first);
            afterwards += usize::from(second);
            takes.extend(took);
        }
    }
    report.exactly("newest connection reached at once", at_once, logins);
    report.exactly("reached after the old end arrived", afterwards, logins);
    report.percentiles("second login", &takes, 50.0, 99.0, None);
    report.history(&recorder.history());
    planted(&mut report, &everything, doors[0]).await;
    report
}

/// The check can fail: the older of two connections, listened to instead of the newest, hears nothing.
async fn planted(report: &mut Report, everything: &Everything, gateway: &Gateway) {
    let token = gateway.token("planted");
    let mut older = everything.connect(0, &token).await.expect("it logs in");
    let _newer = everything.connect(1, &token).await.expect("it logs in");
    let heard = everything.reach("planted", &mut older).await.is_some();
    report.exactly("planted: the older one is reached", heard.into(), 0);
}

/// What all devices share.
struct Everything {
    /// One in front of each place where devices log in.
    proxies: Vec<Proxy>,
    places: Semaphore,
    tellers: Vec<Mutex<(Raw, u64)>>,
    recorder: Recorder,
}

impl Everything {
    async fn prepare(doors: &[&Gateway], recorder: Recorder) -> Everything {
        // Several rounds may run on one cluster: what a teller of an earlier one has said is not this one's.
        let (teller, mut tellers) = (format!("teller{:08x}", rand::random::<u32>()), Vec::new());
        for n in 0..TELLERS {
            let (raw, welcome) = Raw::login(doors[n % doors.len()], &teller, &n.to_string()).await;
            tellers.push(Mutex::new((raw, welcome.device_id)));
        }
        let mut proxies = Vec::new();
        for door in doors {
            proxies.push(Proxy::start(door.tcp).await);
        }
        Everything { proxies, places: Semaphore::new(AT_ONCE), tellers, recorder }
    }

    /// Whether the newest connection was reached at once, and after the old end; how long the second login took.
    async fn login_twice(self: Arc<Self>, n: usize, token: String) -> (bool, bool, Option<Duration>) {
        let user = format!("u{n}");
        let place = self.places.acquire().await.expect("never closed");
        let Some(older) = self.connect(n, &token).await else { return (false, false, None) };
        let link = self.proxy(n).link(older.stream.local_addr().unwrap()).await;
        // Half of the old ends are long on their way; the others arrive around the second login.
        let late = rand::random_range(0..4) < 2;
        let delay = if late { CLOSE_DELAY } else { Duration::from_millis(rand::random_range(0..40)) };
        link.set(Rules { close_delay: delay, ..Rules::default() });
        let ended = Instant::now();
        let mut kept = (rand::random::<bool>()).then_some(older);
        let started = Instant::now();
        let newer = self.connect(n + 1, &token).await;
        let took = started.elapsed();
        // Half of the older ones end only now, having been told why.
        kept.take();
        let Some(mut newer) = newer else { return (false, false, None) };
        let first = self.reach(&user, &mut newer).await.is_some();
        drop(place);
        tokio::time::sleep((CLOSE_DELAY + Duration::from_secs(2)).saturating_sub(ended.elapsed())).await;
        let _place = self.places.acquire().await.expect("never closed");
        let second = self.reach(&user, &mut newer).await;
        if let Some(conversation) = &second {
            self.audit(&mut newer, conversation).await;
        }
        (first, second.is_some(), Some(took))
    }

    /// The one in front of the place with this number, if they are counted again and again.
    fn proxy(&self, at: usize) -> &Proxy {
        &self.proxies[at % self.proxies.len()]
    }

    async fn connect(&self, at: usize, token: &str) -> Option<Raw> {
        let mut raw = Raw::connect(self.proxy(at).address).await;
        raw.try_hello(hello(token, "phone")).await.map(|_| raw)
    }

    /// Sends the user a message; the conversation, if it is pushed to this connection.
    async fn reach(&self, user: &str, device: &mut Raw) -> Option<String> {
        let mut teller = self.tellers[rand::random_range(0..TELLERS)].lock().await;
        let word = format!("{user} {}", rand::random::<u64>());
        let send = text_to(user, &word);
        let (id, sender) = (send.client_msg_id.as_ref().try_into().expect("16 bytes"), teller.1);
        let told = teller.0.request(Ask::Send(send)).await;
        drop(teller);
        let conversation = match &told {
            Told::SendAck(ack) => ack.conversation.clone(),
            _ => return None,
        };
        self.recorder.with(|history| {
            let op = history.send(sender, &conversation, id, word.as_bytes());
            history.ended(op, outcome(Some(told)));
        });
        let entry = tokio::time::timeout(HEARD, hears(device, &word)).await.ok().flatten()?;
        let saw = Event::Saw { device: 0, conversation: conversation.clone(), entry };
        self.recorder.with(|history| history.push(saw));
        Some(conversation)
    }

    /// Records the whole log: what was acked is there, and is what was pushed.
    async fn audit(&self, device: &mut Raw, conversation: &str) {
        let entries: Vec<Entry> = device.sync_all(conversation, 1).await.iter().map(entry).collect();
        self.recorder
            .with(|history| history.push(Event::Final { conversation: conversation.into(), entries }));
    }
}

/// Waits for the push with this text.
pub async fn hears(device: &mut Raw, word: &str) -> Option<Entry> {
    loop {
        let frame = device.arrives().await?;
        if let Some(Told::Message(message)) = frame.body
            && message.content.as_ref().is_some_and(|content| content.data.as_ref() == word.as_bytes())
        {
            return Some(entry(&message));
        }
    }
}
