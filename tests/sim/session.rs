//! A node's session with what coordinates the cluster: what the real membership sees of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::zookeeper::Trouble;
use cluster::zookeeper::session::{Claim, Coordinator, Event, Events, Session};
use cluster::{Lease, NodeRecord};
use idgen::WorkerNumber;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::coordinator::{Act, Registry};
use crate::hub::{Hub, Out};

/// Wait between attempts to reach it.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a session hears; the world puts it there.
#[derive(Default)]
pub struct Mail {
    events: Mutex<VecDeque<Event>>,
    wake: Notify,
}

impl Mail {
    pub fn put(&self, event: Event) {
        self.events.lock().push_back(event);
        self.wake.notify_one();
    }
}

/// The reading end.
pub struct Reader(Arc<Mail>);

impl Events for Reader {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.0.events.lock().pop_front() {
                return event;
            }
            self.0.wake.notified().await;
        }
    }
}

/// Where one process begins its sessions.
pub struct Way {
    pub hub: Arc<Hub>,
    pub timeout: Duration,
}

impl Coordinator for Way {
    type Session = Seen;

    async fn connect(&self) -> Result<Seen, Trouble> {
        let (mail, up) = (Arc::<Mail>::default(), Arc::new(AtomicBool::new(true)));
        let theirs = mail.clone();
        let number = ask(&self.hub, self.timeout, move |registry| Ok(registry.begin(theirs))).await?;
        let stop = CancellationToken::new();
        let ends = stop.clone().drop_guard();
        let seen = Seen {
            hub: self.hub.clone(),
            timeout: self.timeout,
            number,
            mail: mail.clone(),
            up: up.clone(),
            tasks: TaskTracker::new(),
            _ends: ends,
        };
        let beats = beats(self.hub.clone(), self.timeout, number, mail, up);
        seen.tasks.spawn(async move { stop.run_until_cancelled(beats).await });
        Ok(seen)
    }
}

/// Says that the process lives, and hears whether the session does.
async fn beats(hub: Arc<Hub>, timeout: Duration, number: u64, mail: Arc<Mail>, up: Arc<AtomicBool>) {
    let mut pause = timeout / 3;
    loop {
        tokio::time::sleep(pause).await;
        let lives = ask(&hub, timeout / 3, move |registry| Ok(registry.is_alive(number))).await;
        let was_up = up.swap(matches!(lives, Ok(true)), Ordering::Relaxed);
        pause = if lives.is_ok() { timeout / 3 } else { AGAIN_AFTER };
        match lives {
            Ok(true) if !was_up => mail.put(Event::Found),
            Ok(true) => {}
            Ok(false) => return mail.put(Event::Expired),
            Err(_) if was_up => mail.put(Event::Lost),
            Err(_) => {}
        }
    }
}

async fn ask<T: Send + 'static>(
    hub: &Hub,
    within: Duration,
    act: impl FnOnce(&mut Registry) -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    let (answer, answered) = oneshot::channel();
    let act: Act = Box::new(move |registry| {
        let result = act(registry);
        Box::new(move || drop(answer.send(result)))
    });
    hub.put(Out::Asks(act));
    match tokio::time::timeout(within, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(Trouble::Away("the connection is lost".into())),
        Err(_) => Err(Trouble::Away("no answer in time".into())),
    }
}

/// One session.
pub struct Seen {
    hub: Arc<Hub>,
    timeout: Duration,
    number: u64,
    mail: Arc<Mail>,
    /// Somebody answered last time.
    up: Arc<AtomicBool>,
    tasks: TaskTracker,
    /// Ends them.
    _ends: DropGuard,
}

impl Seen {
    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Registry) -> T + Send + 'static,
    ) -> Result<T, Trouble> {
        let number = self.number;
        ask(&self.hub, self.timeout, move |registry| match registry.is_alive(number) {
            true => Ok(act(registry)),
            false => Err(Trouble::Away("the session is over".into())),
        })
        .await
    }
}

impl Session for Seen {
    type Events = Reader;

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn is_connected(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    async fn check_identity(&self) -> Result<(), Trouble> {
        Ok(())
    }

    async fn watch(&self) -> Result<Reader, Trouble> {
        let number = self.number;
        self.ask(move |registry| registry.watch(number)).await?;
        Ok(Reader(self.mail.clone()))
    }

    async fn changed(&self) -> Result<u64, Trouble> {
        self.ask(|registry| registry.changed()).await
    }

    async fn list(&self) -> Result<(Vec<NodeRecord>, u64), Trouble> {
        self.ask(|registry| (registry.list(), registry.changed())).await
    }

    async fn read(&self, number: WorkerNumber) -> Result<Option<NodeRecord>, Trouble> {
        self.ask(move |registry| registry.read(number)).await
    }

    async fn claim(&self, record: &NodeRecord) -> Result<Claim, Trouble> {
        let (session, record) = (self.number, record.clone());
        self.ask(move |registry| registry.claim(session, record)).await
    }

    async fn put(&self, record: &NodeRecord) -> Result<(), Trouble> {
        let record = record.clone();
        let put = self.ask(move |registry| registry.put(&record)).await?;
        if put { Ok(()) } else { Err(Trouble::Away("there is no such record".into())) }
    }

    async fn holds(&self, number: WorkerNumber, lease: &Lease) -> Result<bool, Trouble> {
        let (session, asked) = (self.number, Instant::now());
        let holds = self.ask(move |registry| registry.holds(session, number)).await?;
        if holds {
            lease.renew(asked, self.timeout);
        }
        Ok(holds)
    }

    async fn remove(&self, number: WorkerNumber) -> Result<(), Trouble> {
        self.ask(move |registry| registry.remove(number)).await
    }
}
