//! What every connection of one connector shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use idgen::Clock;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::attach::Attaches;
use crate::auth::Verifier;
use crate::config::ConnectorConfig;
use crate::handle::Handle;
use crate::metrics::Metrics;
use crate::sessions::Sessions;
use crate::uplink::Uplink;
use crate::wheel::Wheel;
use protocol::code::Code;

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
    pub metrics: Metrics,
    wheel: Mutex<Wheel<Arc<Handle>>>,
    started: Instant,
    seconds: AtomicU32,
    /// Nobody is held silent before this second.
    lenient_until: AtomicU32,
}

impl Core {
    pub fn new(config: ConnectorConfig, verifier: Verifier, clock: Arc<dyn Clock>, uplink: Uplink) -> Self {
        Self {
            config,
            verifier,
            clock,
            sessions: Sessions::default(),
            attaches: Attaches::default(),
            uplink,
            metrics: Metrics::default(),
            wheel: Mutex::new(Wheel::new(0)),
            started: Instant::now(),
            seconds: AtomicU32::new(0),
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

    /// Has the wheel look after a session from now on.
    pub fn watch(&self, handle: Arc<Handle>) {
        let due = self.deadline(&handle).0;
        self.wheel.lock().add(handle, due);
    }

    /// Closes the sessions whose deadline has come. Called once a second.
    pub fn tick(&self) {
        let now = self.started.elapsed().as_secs() as u32;
        let before = self.seconds.swap(now, Ordering::Relaxed);
        if now > before + PAUSE_SECONDS {
            // The process or its machine stood still. What devices said meanwhile has yet to be read.
            self.lenient_until.store(now + PAUSE_SECONDS, Ordering::Relaxed);
        }
        let due = self.wheel.lock().turn(now);
        for handle in due {
            // Only the connection and the map hold handles beside the wheel: alone, its connection is gone.
            if Arc::strong_count(&handle) == 1 {
                continue;
            }
            let lenient_until = self.lenient_until.load(Ordering::Relaxed);
            match self.deadline(&handle) {
                (at, Code::HEARTBEAT_TIMEOUT) if at <= now && now < lenient_until => {
                    self.wheel.lock().add(handle, lenient_until);
                }
                (at, code) if at <= now => handle.close(code),
                (at, _) => self.wheel.lock().add(handle, at),
            }
        }
    }

    fn deadline(&self, handle: &Handle) -> (u32, Code) {
        let silent = handle.heard_at().saturating_add(self.config.silence_limit());
        let expired = handle.expires_at();
        if expired <= silent { (expired, Code::TOKEN_EXPIRED) } else { (silent, Code::HEARTBEAT_TIMEOUT) }
    }
}
