//! A device logs in: it gets its DeviceId, a connection epoch and a route.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cluster::Lease;
use idgen::{Clock, DeviceId, DeviceType, GenerateError, Generator, MAX_WAIT_MILLIS, NodeId, WorkerNumber};
use parking_lot::Mutex;
use protocol::check::{self, Refused};
use protocol::code::Code;
use protocol::limit::MAX_TITLE_BYTES;
use protocol::node::v1::{Admitted, Attach, Attached, Kick, Target, ToConnector, attached, to_connector};
use protocol::v1::{self, Role};
use storage::Store;
use storage::directory::{DeviceKey, UserInfo};
use tokio::time::Instant;

use crate::device_limit::DeviceLimit;
use crate::duels::Duels;
use crate::links::Links;
use crate::metrics::Metrics;
use crate::reply::refused_by_store;
use crate::routes::{Route, Routes};
use crate::turns::{Place, Turns};
use crate::watch::Watches;

/// Most logins in progress at once.
pub const MAX_LOGINS_IN_FLIGHT: usize = 1_024;
/// Most logins that wait for others; more are refused with OVERLOADED, and devices come back with jitter.
pub const MAX_LOGINS_WAITING: usize = 16_384;
/// An epoch of another node that is so far ahead is none.
const MAX_AHEAD_MICROS: u64 = 7 * 86_400 * 1_000_000;
/// Longest a login waits for the clock to reach a second that has free ids.
const MAX_ID_WAIT: Duration = Duration::from_millis(MAX_WAIT_MILLIS);

/// Everything a login touches.
pub struct Login {
    store: Arc<dyn Store>,
    routes: Arc<Routes>,
    links: Arc<Links>,
    watches: Arc<Watches>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    generator: Mutex<Generator>,
    lease: Arc<Lease>,
    last_epoch: AtomicU64,
    limit: DeviceLimit,
    duels: Mutex<Duels>,
    began: Instant,
    turns: Arc<Turns>,
}

impl Login {
    pub fn new(
        store: Arc<dyn Store>,
        routes: Arc<Routes>,
        links: Arc<Links>,
        watches: Arc<Watches>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        generator: Generator,
    ) -> Self {
        let turns = Turns::new(MAX_LOGINS_IN_FLIGHT, MAX_LOGINS_WAITING);
        let (generator, last_epoch) = (Mutex::new(generator), AtomicU64::new(0));
        Self {
            store,
            routes,
            links,
            watches,
            clock,
            metrics,
            generator,
            lease: Arc::new(Lease::for_ever()),
            last_epoch,
            limit: DeviceLimit::default(),
            duels: Mutex::default(),
            began: Instant::now(),
            turns,
        }
    }

    /// Holds users to another limit of devices.
    pub fn limited(self, limit: DeviceLimit) -> Self {
        Self { limit, ..self }
    }

    /// Makes ids only while the lease of their number holds.
    pub fn leased(self, lease: Arc<Lease>) -> Self {
        Self { lease, ..self }
    }

    /// A place among the logins; `None` if there is none free.
    pub fn place(&self) -> Option<Place> {
        self.turns.place()
    }

    /// Answers an Attach with Admitted or refused.
    ///
    /// The route stands before Attached is delivered, so whatever is committed after the device's Welcome is pushed.
    pub async fn attach(&self, connector: NodeId, attach: Attach) {
        let attach_id = attach.attach_id;
        match self.identify(attach).await {
            Ok((key, device)) => self.admit(connector, attach_id, &key, device),
            Err(refused) => self.refuse(connector, attach_id, refused),
        }
    }

    /// Tells a connector that a login is refused.
    pub fn refuse(&self, connector: NodeId, attach_id: u64, why: impl Into<Refused>) {
        self.refuse_with(connector, attach_id, why.into().error());
    }

    fn refuse_with(&self, connector: NodeId, attach_id: u64, error: v1::Error) {
        self.metrics.logins_refused.add(1);
        let outcome = attached::Outcome::Refused(error);
        self.deliver_attached(connector, attach_id, outcome);
    }

    async fn identify(&self, attach: Attach) -> Result<(DeviceKey, DeviceId), Refused> {
        let identity = attach.identity.ok_or_else(|| check::invalid("identity is missing"))?;
        check::tenant(&identity.tenant)?;
        check::user(&identity.user)?;
        check::installation(&attach.installation)?;
        let device_type = u8::try_from(attach.device_type).ok().and_then(|code| DeviceType::new(code).ok());
        let device_type = device_type.ok_or_else(|| check::invalid("device_type is not known"))?;
        let role = Role::try_from(identity.role).map_err(|_| check::invalid("role is not known"))?;
        let key = DeviceKey {
            tenant: identity.tenant,
            user: identity.user,
            device_type: device_type.get(),
            installation: attach.installation,
        };
        let info = UserInfo { name: clip(identity.name, MAX_TITLE_BYTES), role };
        let device = self.device(&key, info, device_type).await?;
        Ok((key, device))
    }

    /// The id that this installation has, or a new one.
    async fn device(
        &self,
        key: &DeviceKey,
        info: UserInfo,
        device_type: DeviceType,
    ) -> Result<DeviceId, Refused> {
        let known = self.store.log_in(key, info.clone(), None).await.map_err(refused_by_store)?;
        if let Some(device) = known {
            return Ok(device);
        }
        let candidate = self.new_id(device_type).await?;
        let stored = self.store.log_in(key, info, Some(candidate)).await.map_err(refused_by_store)?;
        stored.ok_or_else(|| Code::INTERNAL.into())
    }

    async fn new_id(&self, device_type: DeviceType) -> Result<DeviceId, Refused> {
        let mut left = MAX_ID_WAIT;
        loop {
            if !self.lease.holds() {
                tracing::warn!("the lease of the node's number has ended; no device id can be made");
                return Err(Code::UNAVAILABLE.into());
            }
            let made = self.generator.lock().generate(device_type, self.clock.unix_millis());
            let wait = match made {
                Ok(id) => return Ok(id),
                Err(GenerateError::Wait { millis }) => Duration::from_millis(millis),
                Err(error) => {
                    tracing::error!(%error, "no device id can be made");
                    return Err(Code::UNAVAILABLE.into());
                }
            };
            left = left.checked_sub(wait).ok_or(Code::OVERLOADED)?;
            tokio::time::sleep(wait).await;
        }
    }

    fn admit(&self, connector: NodeId, attach_id: u64, key: &DeviceKey, device: DeviceId) {
        let device = device.as_u64();
        let present = self.routes.get(&key.tenant, &key.user, device);
        // Another node may have given the present one, by another clock.
        let epoch = self.next_epoch(present.map_or(0, |present| present.epoch));
        if let Err(error) = self.slow_down(present, device) {
            return self.refuse_with(connector, attach_id, error);
        }
        let route = Route::new(device, epoch, connector);
        let admission = match self.routes.admit(&key.tenant, &key.user, route, &self.limit) {
            Ok(admission) => admission,
            Err(full) => {
                self.metrics.device_limit.add(1);
                let refused = Refused::new(Code::DEVICE_LIMIT, full.to_string());
                return self.refuse(connector, attach_id, refused);
            }
        };
        let outcome = admission.outcome;
        if !outcome.attached {
            // A login of the same device that began later has overtaken this one.
            return self.refuse(connector, attach_id, Code::SUPERSEDED);
        }
        for evicted in admission.evicted {
            self.metrics.device_limit.add(1);
            self.watches.forget(evicted.device, evicted.epoch);
            self.kick(evicted, Code::DEVICE_LIMIT);
        }
        if let Some(displaced) = outcome.displaced {
            self.watches.forget(displaced.device, displaced.epoch);
            self.metrics.superseded.add(1);
            self.kick(displaced, Code::SUPERSEDED);
        }
        // Also where other devices were there: they may be away, or sessions without a connection.
        self.watches.changed(&key.tenant, &key.user);
        self.metrics.logins.add(1);
        let admitted = Admitted { device_id: device, epoch };
        self.deliver_attached(connector, attach_id, attached::Outcome::Admitted(admitted));
        // A later login that displaced this route before Attached arrived kicked a session that was not there yet. It
        // has counted that. Without one the routes of the whole connector are gone: the device has to come again.
        match self.routes.get(&key.tenant, &key.user, device) {
            Some(present) if present.epoch == epoch => {}
            Some(_) => self.kick(route, Code::SUPERSEDED),
            None => self.kick(route, Code::UNAVAILABLE),
        }
    }

    /// A device that displaces its own living connection again and again is put off for a while.
    fn slow_down(&self, present: Option<Route>, device: u64) -> Result<(), v1::Error> {
        if present.is_none_or(|present| present.suspended) {
            return Ok(());
        }
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.duels.lock().displace(device, now).map_err(|wait_ms| {
            self.metrics.duels.add(1);
            let retry_after_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            let error = Code::SLOW_DOWN.error("this device is connected already and again and again");
            v1::Error { retry_after_ms, ..error }
        })
    }

    /// The highest epoch that was given or heard of.
    pub fn last_epoch(&self) -> u64 {
        self.last_epoch.load(Ordering::Relaxed)
    }

    /// Another node has given this epoch: those to come are above it.
    pub fn raise_epoch(&self, other: u64) {
        if other > self.clock_epoch().saturating_add(MAX_AHEAD_MICROS) {
            return tracing::warn!(other, "another channel node's clock is days ahead");
        }
        self.last_epoch.fetch_max(other, Ordering::Relaxed);
    }

    /// Microseconds since 1970.
    fn clock_epoch(&self) -> u64 {
        u64::try_from(self.clock.unix_millis()).unwrap_or(0).saturating_mul(1_000)
    }

    /// Microseconds since 1970, and always above the one before and above `other`.
    fn next_epoch(&self, other: u64) -> u64 {
        let now = self.clock_epoch();
        let next = |last: u64| now.max(last.max(other).saturating_add(1));
        let update = |last| Some(next(last));
        match self.last_epoch.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update) {
            Ok(last) | Err(last) => next(last),
        }
    }

    /// Has a connection closed.
    pub fn kick(&self, route: Route, code: Code) {
        let target = Some(Target { device_id: route.device, epoch: route.epoch });
        let kick = Kick { target, code: code.number() };
        self.links.deliver(route.connector, ToConnector { body: Some(to_connector::Body::Kick(kick)) });
    }

    fn deliver_attached(&self, connector: NodeId, attach_id: u64, outcome: attached::Outcome) {
        let attached = Attached { attach_id, outcome: Some(outcome) };
        self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Attached(attached)) });
    }
}

/// A generator that continues above every id this worker number has stored.
pub async fn generator(
    store: &dyn Store,
    worker: WorkerNumber,
) -> Result<Generator, crate::node::StartError> {
    let floor = store.last_device(worker).await?;
    Ok(Generator::new(worker, floor)?)
}

/// The longest beginning of whole characters within `max` bytes.
fn clip(mut text: String, max: usize) -> String {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_clipped_between_characters() {
        assert_eq!(clip("ééé".into(), 3), "é");
        assert_eq!(clip("ab".into(), 3), "ab");
    }
}
