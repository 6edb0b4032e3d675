//! Thousands of devices that only keep themselves connected and note what they hear.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use protocol::frame;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::go_away::Verdict;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, GoAway, Ping, ServerFrame};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::raw::{Raw, hello};
use super::tokens::Issuer;

/// Logins under way at once while the fleet is built; after that every device is on its own.
const LOGINS_AT_ONCE: usize = 64;
/// Time for one attempt to connect and log in.
const ATTEMPT: Duration = Duration::from_secs(15);
/// Waits between attempts: a uniform draw up to this, doubled with each failure up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Devices of as many users, each with one task.
pub struct Fleet {
    devices: Vec<Arc<Device>>,
    _tasks: JoinSet<()>,
}

struct Device {
    user: String,
    token: String,
    address: SocketAddr,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Since when it is connected.
    up: Option<Instant>,
    /// Told not to come back.
    banned: Option<String>,
    heard: HashSet<String>,
}

impl Fleet {
    /// Logs in `count` users named `prefix0`, `prefix1` ... and keeps them connected.
    pub async fn login(address: SocketAddr, issuer: &Issuer, prefix: &str, count: usize) -> Fleet {
        let device = |n| {
            let user = format!("{prefix}{n}");
            let token = issuer.token(&user);
            Arc::new(Device { user, token, address, seen: Mutex::default() })
        };
        let devices: Vec<_> = (0..count).map(device).collect();
        let (mut tasks, places) = (JoinSet::new(), Arc::new(Semaphore::new(LOGINS_AT_ONCE)));
        for device in &devices {
            tasks.spawn(device.clone().live(places.clone()));
        }
        Fleet { devices, _tasks: tasks }
    }

    pub fn len(&self) -> usize {
        self.devices.len()
    }

    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().map(|device| device.user.as_str())
    }

    /// How many are connected since that moment or later, or until `limit` has passed.
    pub async fn back(&self, since: Instant, limit: Duration) -> Vec<Duration> {
        loop {
            let ups = self.devices.iter().filter_map(|device| device.seen.lock().up);
            let back: Vec<Duration> = ups.filter_map(|up| up.checked_duration_since(since)).collect();
            if back.len() == self.devices.len() || since.elapsed() > limit {
                return back;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many have been connected without a break since that moment or longer.
    pub fn stayed(&self, since: Instant) -> usize {
        self.devices.iter().filter(|device| device.seen.lock().up.is_some_and(|up| up <= since)).count()
    }

    /// How many have heard this, or until `limit` has passed.
    pub async fn heard(&self, text: &str, limit: Duration) -> usize {
        let started = Instant::now();
        loop {
            let heard = self.devices.iter().filter(|d| d.seen.lock().heard.contains(text)).count();
            if heard == self.devices.len() || started.elapsed() > limit {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Devices that were told to stay away, with the reason.
    pub fn banned(&self) -> Vec<String> {
        let banned = |d: &Arc<Device>| Some(format!("{}: {}", d.user, d.seen.lock().banned.clone()?));
        self.devices.iter().filter_map(banned).collect()
    }
}

impl Device {
    async fn live(self: Arc<Device>, places: Arc<Semaphore>) {
        let mut place = places.acquire_owned().await.ok();
        let (mut failures, mut address) = (0, self.address);
        loop {
            let attempt = tokio::time::timeout(ATTEMPT, self.log_in(address)).await;
            let lost = match attempt.unwrap_or(Err(None)) {
                Ok((raw, heartbeat)) => {
                    place = None;
                    failures = 0;
                    self.seen.lock().up = Some(Instant::now());
                    let lost = self.listen(raw, heartbeat).await;
                    self.seen.lock().up = None;
                    lost
                }
                Err(lost) => lost,
            };
            if let Some(away) = lost.as_ref().filter(|away| away.verdict == i32::from(Verdict::Never)) {
                self.seen.lock().banned = Some(away.reason.clone());
                return;
            }
            // Where the server sends it, it goes once.
            let named = lost.as_ref().and_then(|away| away.endpoint.strip_prefix("tcp://")?.parse().ok());
            address = named.unwrap_or(self.address);
            tokio::time::sleep(wait(failures, lost.map_or(0, |away| away.delay_ms))).await;
            failures += 1;
            _ = &place;
        }
    }

    async fn log_in(&self, address: SocketAddr) -> Result<(Raw, Duration), Option<GoAway>> {
        let stream = TcpStream::connect(address).await.map_err(|_| None)?;
        let mut raw = Raw::on(stream);
        raw.bytes(&protocol::preface::PREFACE).await;
        raw.frame(Ask::Hello(hello(&self.token, "fleet"))).await;
        match raw.arrives().await.and_then(|frame| frame.body) {
            Some(Told::Welcome(welcome)) => Ok((raw, Duration::from_millis(welcome.heartbeat_ms.into()))),
            Some(Told::GoAway(away)) => Err(Some(away)),
            _ => Err(None),
        }
    }

    /// Takes what comes until the connection ends; the server's last word.
    async fn listen(&self, mut raw: Raw, heartbeat: Duration) -> Option<GoAway> {
        let mut last = None;
        loop {
            match tokio::time::timeout(heartbeat, raw.arrives()).await {
                Ok(None) => return last,
                Ok(Some(frame)) => last = self.take(&mut raw, frame).await.or(last),
                Err(_) => raw.frame(Ask::Ping(Ping {})).await,
            }
        }
    }

    async fn take(&self, raw: &mut Raw, frame: ServerFrame) -> Option<GoAway> {
        let session_seq = frame.session_seq;
        if session_seq > 0 {
            raw.bytes(&frame::encode(&ClientFrame { ack: session_seq, id: 0, body: None })).await;
        }
        match frame.body {
            Some(Told::Message(message)) => {
                let text = message.content.map(|content| String::from_utf8_lossy(&content.data).into_owned());
                self.seen.lock().heard.extend(text);
                None
            }
            Some(Told::GoAway(away)) => Some(away),
            _ => None,
        }
    }
}

/// As an SDK waits: its own draw, or once to twice what the server asked for.
fn wait(failures: u32, asked_ms: u32) -> Duration {
    let own = FIRST_WAIT.saturating_mul(1 << failures.min(7)).min(LONGEST_WAIT).mul_f64(rand::random());
    let asked = Duration::from_millis(asked_ms.into());
    own.max(asked + asked.mul_f64(rand::random()))
}
