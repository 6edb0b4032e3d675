//! Devices that hear and say nothing: they tell a first copy from a repetition, and note when it came.

use std::time::Instant;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wire::Device;

/// Devices, each with a task that listens.
pub struct Silence {
    heard: watch::Sender<Heard>,
    _tasks: JoinSet<()>,
}

/// What all of them have heard.
#[derive(Clone, Copy, Default)]
pub struct Heard {
    /// Messages that came for the first time.
    pub first_copies: u64,
    pub repetitions: u64,
    /// How many devices have got a repetition.
    pub devices: u64,
    /// When the first and the latest repetition came.
    pub between: Option<(Instant, Instant)>,
}

impl Silence {
    /// Has these devices listen from now on.
    pub fn of(devices: Vec<Device>) -> Silence {
        let heard = watch::Sender::new(Heard::default());
        let tasks = devices.into_iter().map(|device| listen(device, heard.clone())).collect();
        Silence { heard, _tasks: tasks }
    }

    /// What has been heard, as soon as it is enough, or at `until`.
    pub async fn wait(&self, until: Instant, enough: impl Fn(&Heard) -> bool) -> Heard {
        let mut heard = self.heard.subscribe();
        // Both ends are told by what has been heard.
        let _ = tokio::time::timeout_at(until.into(), heard.wait_for(enough)).await;
        *self.heard.borrow()
    }
}

/// Until the connection ends.
async fn listen(mut device: Device, heard: watch::Sender<Heard>) {
    let (mut latest, mut repeated) = (0, false);
    while let Ok(session_seq) = device.reader.message().await {
        if session_seq > latest {
            latest = session_seq;
            heard.send_modify(|heard| heard.first_copies += 1);
        } else {
            let newly = !std::mem::replace(&mut repeated, true);
            heard.send_modify(|heard| heard.repetition(newly));
        }
    }
}

impl Heard {
    fn repetition(&mut self, newly: bool) {
        let now = Instant::now();
        self.repetitions += 1;
        self.devices += u64::from(newly);
        self.between = Some((self.between.map_or(now, |(first, _)| first), now));
    }
}
