//! Logins that wait for the channel node.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use idgen::NodeId;
use parking_lot::Mutex;
use protocol::check::Refused;
use protocol::code::Code;
use protocol::limit;
use protocol::node::v1::attached::Outcome;
use protocol::node::v1::{Attach, Attached, Identity};
use protocol::v1::{Hello, Limits, Welcome, welcome};
use protocol::version;
use tokio::sync::oneshot;

use crate::attachment::{self, Attachment};
use crate::core::Core;
use crate::handle::{Handle, Seat};
use crate::outbox::Outbox;
use crate::session::Session;
use crate::transport::TransportKind;

/// Logins under way.
#[derive(Default)]
pub(crate) struct Attaches {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

struct Waiting {
    identity: Identity,
    welcome: Welcome,
    window: usize,
    answer: oneshot::Sender<Result<Attachment, Refusal>>,
}

/// Why a device may not come in, and how long it should wait before it tries again; 0 leaves that to the code.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub refused: Refused,
    pub delay_ms: u32,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self { refused, delay_ms: 0 }
    }
}

/// A checked Hello.
pub(crate) struct Admission {
    pub identity: Identity,
    pub expires_ms: i64,
    pub hello: Hello,
    pub version: u32,
    pub transport: TransportKind,
    pub remote: String,
}

/// Sends the login to the owner of its user and waits for the outcome.
pub(crate) async fn attach(
    core: &Arc<Core>,
    admission: Admission,
    outcome: welcome::Outcome,
) -> Result<Attachment, Refusal> {
    let (answer, answered) = oneshot::channel();
    let attach_id = core.attaches.next.fetch_add(1, Ordering::Relaxed) + 1;
    let message = Attach {
        attach_id,
        identity: Some(admission.identity.clone()),
        device_type: admission.hello.device_type,
        installation: admission.hello.installation.clone(),
        transport: admission.transport.as_str().into(),
        remote: admission.remote.clone(),
    };
    let window = window(core, &admission.hello);
    let waiting =
        Waiting { welcome: welcome(core, &admission, outcome), identity: admission.identity, window, answer };
    core.attaches.waiting.lock().insert(attach_id, waiting);
    if core.uplink.attach(message).is_err() {
        core.attaches.waiting.lock().remove(&attach_id);
        return Err(Refused::from(Code::OVERLOADED).into());
    }
    answered.await.unwrap_or_else(|_| Err(Refused::from(Code::UNAVAILABLE).into()))
}

/// Takes the answer of the channel node `from`, `None` for one in this process. The session is in the map when this
/// returns, so that the pushes that follow on the link find it; Welcome stands first in its outbox.
pub(crate) fn attached(core: &Arc<Core>, from: Option<NodeId>, message: Attached) {
    let Some(waiting) = core.attaches.waiting.lock().remove(&message.attach_id) else {
        return;
    };
    let outcome = match message.outcome {
        Some(Outcome::Admitted(admitted)) => {
            let attachment = admit(core, &waiting, admitted.device_id, admitted.epoch);
            let handle = &attachment.seat.handle;
            // The user was given to another node meanwhile, and the session was not there yet when that was told.
            if from.is_some_and(|from| {
                core.uplink.owner_of(&handle.identity.tenant, &handle.identity.user) != Some(from)
            }) {
                attachment::announce_moved(core, from, handle);
            }
            Ok(attachment)
        }
        Some(Outcome::Refused(error)) => {
            let code = Code::from_number(error.code).unwrap_or(Code::INTERNAL);
            Err(Refusal { refused: Refused::new(code, error.message), delay_ms: error.retry_after_ms })
        }
        None => Err(Refused::from(Code::INTERNAL).into()),
    };
    // Where nobody waits any more the attachment is dropped here, which takes session and route back.
    drop(waiting.answer.send(outcome));
}

fn admit(core: &Arc<Core>, waiting: &Waiting, device: u64, epoch: u64) -> Attachment {
    let mut outbox = Outbox::new(waiting.window);
    outbox.notify(core.resumes.welcome(waiting.welcome.clone(), &waiting.identity, device, epoch));
    let expires_at = core.second_of(waiting.welcome.auth_expires_ms);
    let identity = Arc::new(waiting.identity.clone());
    let handle = Handle::new(device, epoch, identity.clone(), outbox, core.seconds(), expires_at);
    let handle = Arc::new(handle);
    if let Some(older) = core.sessions.insert(handle.clone()) {
        older.close(Code::SUPERSEDED);
    }
    core.watch(&handle);
    core.metrics.logins.add(1);
    let session = Session::new(device, epoch, identity);
    Attachment::new(core.clone(), Seat::new(handle, 0), session)
}

/// Bytes that may wait for a device: what it asked for, within the server's limit.
fn window(core: &Core, hello: &Hello) -> usize {
    match hello.receive_window as usize {
        0 => core.config.outbox_bytes,
        asked => asked.min(core.config.outbox_bytes),
    }
}

/// The Welcome for an admission, without what depends on the session.
pub(crate) fn welcome(core: &Core, admission: &Admission, outcome: welcome::Outcome) -> Welcome {
    Welcome {
        version: admission.version,
        features: admission.hello.features & version::FEATURES,
        outcome: outcome.into(),
        resume_ttl_ms: core.config.resume_ttl.as_millis() as u32,
        heartbeat_ms: core.config.heartbeat.as_millis() as u32,
        limits: Some(Limits {
            max_frame_bytes: limit::MAX_FRAME_BYTES as u32,
            max_content_bytes: limit::MAX_CONTENT_BYTES as u32,
            max_requests_in_flight: limit::MAX_REQUESTS_IN_FLIGHT,
            receive_window: window(core, &admission.hello) as u32,
        }),
        server_time_ms: core.clock.unix_millis(),
        auth_expires_ms: admission.expires_ms,
        tenant: admission.identity.tenant.clone(),
        user: admission.identity.user.clone(),
        endpoints: core.endpoints(admission.transport),
        ..Welcome::default()
    }
}
