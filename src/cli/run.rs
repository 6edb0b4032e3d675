//! Runtime, signals and drain, for `dev` and `serve`.

use std::time::Duration;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::gateway::Gateway;

/// A multi-threaded runtime with `node.workers` threads; 0 is one per core.
pub fn runtime(config: &Config) -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if config.node.workers > 0 {
        builder.worker_threads(config.node.workers);
    }
    builder.enable_all().thread_name("whimbrel").build().context("no threads could be started")
}

/// The signals that end a gateway. Made before it starts, so that none is missed.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Must be called on a tokio runtime.
    pub fn listen() -> anyhow::Result<Stop> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Stop { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    pub async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Runs until a signal, then drains.
pub async fn until_stopped(gateway: Gateway, stop: &mut Stop, config: &Config) {
    stop.asked().await;
    finish(|deadline| gateway.drain(deadline), stop, config).await;
}

/// Drains within `node.drain_ms`. A second signal ends the process at once, which loses nothing that was acknowledged.
pub async fn finish<F>(drain: impl FnOnce(Duration) -> F, stop: &mut Stop, config: &Config)
where
    F: Future<Output = Vec<String>>,
{
    tracing::info!("stopping; a second signal stops at once");
    let deadline = Duration::from_millis(config.node.drain_ms);
    tokio::select! {
        cut = drain(deadline) => match cut.as_slice() {
            [] => tracing::info!("stopped"),
            cut => tracing::warn!("stopped; cut off at the deadline: {}", cut.join(", ")),
        },
        () = stop.asked() => {
            tracing::warn!("stopped at once");
            std::process::exit(130);
        }
    }
}
