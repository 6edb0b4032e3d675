//! What every connection of one connector shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cluster::View;
use cluster::endpoints::Others;
use idgen::Clock;
use parking_lot::{Mutex, MutexGuard};
use protocol::code::Code;
use protocol::frame;
use protocol::node;
use protocol::node::v1::{Identity, Resend, Target};
use protocol::v1::{ServerFrame, server_frame};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::attach::Attaches;
use crate::attachment;
use crate::auth::Verifier;
use crate::config::ConnectorConfig;
use crate::delivery::Due;
use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::resume::Resumes;
use crate::sessions::Sessions;
use crate::transport::TransportKind;
use crate::uplink::Uplink;
use crate::wheel::Wheel;
use crate::window::Place;

/// How long a connection that was told to close may take.
const CLOSING_SECONDS: u32 = 5;

/// While more waits for a device, it has to read so many bytes in so many seconds.
const READING_SECONDS: u32 = 60;
const READING_BYTES: usize = 4 * 1024;

/// Other connectors that Welcome names.
const WELCOME_ENDPOINTS: usize = 3;

/// A session to look at, by name: one that is over keeps nothing but these bytes until its turn comes.
#[derive(Clone, Copy, Debug)]
struct Watched {
    device: u64,
    /// The low half of the session's epoch. A device's epochs within one turn of the wheel differ in it.
    epoch: u32,
    look: Look,
}

// Every idle session stands in the wheel.
const _: () = assert!(size_of::<Watched>() == 16);

/// What the wheel looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Silence, the token's end, and how long the session waits for its device: for as long as it lives.
    Session,
    /// The same, once.
    Once,
    /// Unacknowledged pushes, while there are any.
    Unacknowledged,
    /// How fast the device reads, while it is behind.
    Reading,
}

/// Seconds without a tick after which the process is taken to have stood still, and the time it then gets to read.
const PAUSE_SECONDS: u32 = 5;

/// Sessions, links and settings of one connector.
pub(crate) struct Core {
    pub config: ConnectorConfig,
    pub verifier: Verifier,
    pub clock: Arc<dyn Clock>,
    pub sessions: Sessions,
    pub attaches: Attaches,
    pub uplink: Uplink,
    views: watch::Receiver<Arc<View>>,
    others: Mutex<Others>,
    pub metrics: Metrics,
    pub resumes: Resumes,
    wheel: Mutex<Wheel<Watched>>,
    started: Instant,
    seconds: AtomicU32,
    /// Over how many milliseconds the devices that are sent away spread their return.
    return_spread_ms: AtomicU32,
    /// Nobody is held silent before this second.
    lenient_until: AtomicU32,
}

impl Core {
    pub fn new(config: ConnectorConfig, verifier: Verifier, clock: Arc<dyn Clock>, uplink: Uplink) -> Self {
        Self {
            resumes: Resumes::new(),
            config,
            verifier,
            clock,
            sessions: Sessions::default(),
            attaches: Attaches::default(),
            views: uplink.views(),
            others: Mutex::default(),
            uplink,
            metrics: Metrics::default(),
            wheel: Mutex::new(Wheel::new(0)),
            started: Instant::now(),
            seconds: AtomicU32::new(0),
            return_spread_ms: AtomicU32::new(0),
            lenient_until: AtomicU32::new(0),
        }
    }

    /// Seconds since the connector started, on a clock that never steps; as of the latest [`Core::tick`].
    pub fn seconds(&self) -> u32 {
        self.seconds.load(Ordering::Relaxed)
    }

    /// The second at which the wall clock will show `unix_ms`, judged by the wall clock now.
    pub fn second_of(&self, unix_ms: i64) -> u32 {
        let left = (unix_ms - self.clock.unix_millis()).max(0) / 1000;
        self.seconds().saturating_add(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// All devices are about to be sent away: they come back over so much time.
    pub fn spread_returns(&self, over: Duration) {
        let spread = u32::try_from(over.as_millis()).unwrap_or(u32::MAX);
        self.return_spread_ms.store(spread, Ordering::Relaxed);
    }

    /// The cluster's other connectors as they are now.
    pub fn others(&self) -> MutexGuard<'_, Others> {
        let mut others = self.others.lock();
        others.follow(&self.views.borrow(), self.config.node);
        others
    }

    /// Where a device on this transport may go where this connector does not answer.
    pub fn endpoints(&self, transport: TransportKind) -> Vec<String> {
        self.others().list(transport.schemes(), WELCOME_ENDPOINTS)
    }

    /// The frame that says why a connection over this transport is closed, and when to come back: not before
    /// `delay_ms`. Who is sent to other connectors is told where.
    pub fn farewell(&self, transport: TransportKind, code: Code, reason: &str, delay_ms: u32) -> Bytes {
        let mut away = code.go_away(reason);
        if matches!(code, Code::SHUTTING_DOWN | Code::MOVED) {
            away.endpoint = self.others().next(transport.schemes()).unwrap_or_default();
        }
        away.delay_ms = away.delay_ms.max(delay_ms);
        let spread = self.return_spread_ms.load(Ordering::Relaxed);
        if code == Code::SHUTTING_DOWN && spread > 0 {
            away.delay_ms += rand::random_range(0..spread);
        }
        let body = Some(server_frame::Body::GoAway(away));
        frame::encode(&ServerFrame { session_seq: 0, re: 0, body })
    }

    /// Has the wheel look after a session from now on.
    pub fn watch(&self, handle: &Handle) {
        self.add(handle, Look::Session, self.deadline(handle).0);
    }

    /// Has the wheel look at a session whose deadline may have become earlier.
    pub fn watch_once(&self, handle: &Handle) {
        self.add(handle, Look::Once, self.deadline(handle).0);
    }

    /// Has the wheel look after a session's unacknowledged pushes until there are none.
    pub fn watch_unacknowledged(&self, handle: &Handle) {
        self.add(handle, Look::Unacknowledged, self.seconds() + self.config.schedule().after);
    }

    /// Has the wheel look how fast the device reads, until it has read everything.
    pub fn watch_reading(&self, handle: &Handle) {
        self.add(handle, Look::Reading, self.seconds() + READING_SECONDS);
    }

    fn add(&self, handle: &Handle, look: Look, at: u32) {
        let watched = Watched { device: handle.device, epoch: handle.epoch as u32, look };
        self.wheel.lock().add(watched, at);
    }

    /// Asks for messages that this device was pushed before. Says whether somebody took the question.
    pub fn resend(&self, handle: &Handle, places: Vec<Place>) -> bool {
        let count = places.len() as u64;
        let Identity { tenant, user, .. } = &*handle.identity;
        let places = places.into_iter().map(|place| node::v1::Place {
            session_seq: place.session_seq,
            conversation: place.conversation,
            seq: place.seq,
        });
        let target = Some(Target { device_id: handle.device, epoch: handle.epoch });
        let (tenant, user) = (tenant.clone(), user.clone());
        let taken = self.uplink.resend(Resend { tenant, user, target, places: places.collect() }).is_ok();
        self.metrics.resent.add(if taken { count } else { 0 });
        taken
    }

    /// Does what has become due. Called once a second.
    pub fn tick(&self) {
        let now = self.started.elapsed().as_secs() as u32;
        let before = self.seconds.swap(now, Ordering::Relaxed);
        if now > before + PAUSE_SECONDS {
            // The process or its machine stood still. What devices said meanwhile has yet to be read.
            self.lenient_until.store(now + PAUSE_SECONDS, Ordering::Relaxed);
        }
        let due = self.wheel.lock().turn(now);
        for watched in due {
            // A session that is not in the map is over, or told to close already.
            let session = self.sessions.get(watched.device);
            let Some(handle) = session.filter(|handle| handle.epoch as u32 == watched.epoch) else {
                continue;
            };
            let again = match watched.look {
                Look::Session => self.look(&handle, now),
                Look::Once => self.look(&handle, now).and(None),
                Look::Unacknowledged => self.look_at_unacknowledged(&handle, now),
                Look::Reading => look_at_reading(&handle, now),
            };
            if let Some(at) = again {
                self.wheel.lock().add(watched, at);
            }
        }
    }

    /// When to look at the session again; `None` if it is over.
    fn look(&self, handle: &Arc<Handle>, now: u32) -> Option<u32> {
        let ttl = self.config.resume_ttl.as_secs() as u32;
        if let Some(since) = handle.away_since() {
            if handle.expire(now, ttl) {
                self.metrics.expired.add(1);
                attachment::end(self, handle);
                return None;
            }
            return Some(since.saturating_add(ttl));
        }
        let (at, code) = self.deadline(handle);
        let lenient_until = self.lenient_until.load(Ordering::Relaxed);
        if at <= now && code == Code::HEARTBEAT_TIMEOUT && now < lenient_until {
            return Some(lenient_until);
        }
        if at <= now {
            handle.close(code);
            // By then the connection is gone, and what is left of the session has another deadline.
            return Some(now + CLOSING_SECONDS);
        }
        Some(at)
    }

    fn look_at_unacknowledged(&self, handle: &Arc<Handle>, now: u32) -> Option<u32> {
        match handle.due(now, self.config.schedule()) {
            Due::Nothing => None,
            Due::Again { at, places } => {
                if places.is_empty() || self.resend(handle, places) {
                    return Some(at);
                }
                // More are due than are read at once: these are the next.
                handle.postpone();
                Some(now + 1)
            }
            Due::Expired => {
                handle.close(Code::ACK_TIMEOUT);
                Some(now + CLOSING_SECONDS)
            }
        }
    }

    fn deadline(&self, handle: &Handle) -> (u32, Code) {
        let silent = handle.heard_at().saturating_add(self.config.silence_limit());
        let expired = handle.expires_at();
        if expired <= silent { (expired, Code::TOKEN_EXPIRED) } else { (silent, Code::HEARTBEAT_TIMEOUT) }
    }
}

fn look_at_reading(handle: &Handle, now: u32) -> Option<u32> {
    if handle.reads_too_slowly(now, READING_SECONDS, READING_BYTES) {
        handle.close(Code::SLOW_CONSUMER);
    }
    handle.is_behind().then(|| now + READING_SECONDS)
}

#[cfg(test)]
mod tests {
    use cluster::FixedMembership;
    use idgen::{ManualClock, NodeId};

    use super::*;
    use crate::auth::{AuthConfig, Key};
    use crate::outbox::Outbox;

    fn core() -> Core {
        let keys = vec![Key::hs256("k", &[7; 32]).unwrap()];
        let auth = AuthConfig { issuer: "i".into(), audience: "a".into(), keys };
        let node = NodeId::from_u64(1 << 60).unwrap();
        let uplink = Uplink::new(Arc::new(FixedMembership::single(node, node)), std::time::Duration::ZERO);
        let verifier = Verifier::new(auth).unwrap();
        Core::new(ConnectorConfig::new(node), verifier, Arc::new(ManualClock::new(0)), uplink)
    }

    fn session(core: &Core, epoch: u64) -> Arc<Handle> {
        let handle = Arc::new(Handle::new(1, epoch, Arc::default(), Outbox::new(100), 0, u32::MAX));
        core.sessions.insert(handle.clone());
        core.watch(&handle);
        core.watch_unacknowledged(&handle);
        handle
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_session_is_freed_at_once() {
        let core = core();
        let ended = Arc::downgrade(&session(&core, 1));
        assert_eq!(ended.strong_count(), 1, "it is in the map");
        attachment::end(&core, &ended.upgrade().unwrap());
        assert_eq!((ended.strong_count(), core.sessions.len()), (0, 0), "the wheel holds none");
    }

    /// Lets seconds pass as the connector's task does.
    async fn pass(core: &Core, seconds: u32) {
        for _ in 0..seconds {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            core.tick();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_wheel_looks_at_the_present_session_only() {
        let core = core();
        let why =
            |handle: &Arc<Handle>| crate::handle::Seat::new(handle.clone(), 0).turn(std::task::Waker::noop());
        let older = session(&core, 1);
        pass(&core, 10).await;
        let newer = session(&core, 2);
        newer.heard(core.seconds());
        // The older one was due after 72 s, the newer is ten later.
        pass(&core, 71).await;
        assert_eq!((core.seconds(), why(&newer)), (81, None));
        pass(&core, 2).await;
        assert_eq!(why(&newer), Some(Code::HEARTBEAT_TIMEOUT));
        assert_eq!(why(&older), None, "nobody looks at what is not in the map");
    }
}
