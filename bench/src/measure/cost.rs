//! What passed between two moments: time, the server's processor time, and what others took.

use std::time::{Duration, Instant};

use super::{machine, process, processors};
use crate::metrics::Metrics;
use crate::target::Target;

/// The first of the two moments.
pub struct Since {
    at: Instant,
    server: Duration,
    known: Duration,
    busy: Duration,
    metrics: Option<Metrics>,
}

/// The difference.
pub struct Cost {
    pub seconds: f64,
    /// Processor time of the server, in seconds; None where its processes are not known.
    pub cpu: Option<f64>,
    /// Share of all processors' time that neither the server nor the load took.
    pub others: f64,
    /// What the gateway counted meanwhile.
    pub counted: Option<(Metrics, Metrics)>,
}

impl Since {
    /// `load` are the generator's processes.
    ///
    /// # Errors
    /// If the server is gone.
    pub fn now(target: &Target, load: &[u32]) -> anyhow::Result<Since> {
        Ok(Since {
            at: Instant::now(),
            server: process::processor_times(&target.pids())?,
            known: known(load)?,
            busy: machine::busy()?,
            metrics: target.metrics(),
        })
    }

    /// # Errors
    /// If the server is gone.
    pub fn until_now(self, target: &Target, load: &[u32]) -> anyhow::Result<Cost> {
        let pids = target.pids();
        let (seconds, server) = (self.at.elapsed().as_secs_f64(), process::processor_times(&pids)?);
        let server = (server - self.server).as_secs_f64();
        let known = (known(load)? - self.known).as_secs_f64() + server;
        let busy = (machine::busy()? - self.busy).as_secs_f64();
        let others = (busy - known).max(0.0) / (seconds * processors::count() as f64);
        let counted = self.metrics.zip(target.metrics());
        Ok(Cost { seconds, cpu: (!pids.is_empty()).then_some(server), others, counted })
    }
}

/// What the load and this process have used.
fn known(load: &[u32]) -> anyhow::Result<Duration> {
    Ok(process::processor_times(load)? + process::processor_time(std::process::id())?)
}

impl Cost {
    /// By how much a counter of the gateway rose.
    pub fn risen(&self, name: &str) -> Option<f64> {
        let (then, now) = self.counted.as_ref()?;
        now.risen(then, name).ok().map(|risen| risen as f64)
    }
}
