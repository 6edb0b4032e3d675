//! HTTP without devices: pages for operators and probes.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Listeners and their tasks.
#[derive(Default)]
pub struct PlainHttp {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl PlainHttp {
    /// Serves until stopped.
    ///
    /// # Errors
    /// The listener does not fit the runtime.
    pub fn serve(&self, listener: tokio::net::TcpListener, router: Router) -> io::Result<SocketAddr> {
        let address = listener.local_addr()?;
        let stop = self.stop.clone().cancelled_owned();
        let served = axum::serve(listener, router).with_graceful_shutdown(stop);
        self.tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "an HTTP listener has ended");
            }
        });
        Ok(address)
    }

    /// Takes no more requests. What is being answered may still end.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// The same, and waits until everything is answered.
    pub async fn stopped(&self) {
        self.stop();
        self.tasks.wait().await;
    }
}
