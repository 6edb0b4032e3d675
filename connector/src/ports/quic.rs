//! The QUIC port: one connection, one stream, one device.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::{Endpoint, Incoming};

use crate::accept::Place;
use crate::connector::Connector;
use crate::quic::{accept_stream, admit};

impl Connector {
    /// Serves devices on `endpoint` until the connector drains. Connections that are logged in then live on until
    /// they end.
    pub fn serve_quic(self: &Arc<Self>, endpoint: Endpoint) {
        let connector = self.clone();
        let connecting = Arc::new(AtomicUsize::new(0));
        self.tasks.spawn(async move {
            loop {
                let incoming = tokio::select! {
                    () = connector.stop.cancelled() => break,
                    incoming = endpoint.accept() => incoming,
                };
                let Some(incoming) = incoming else { return };
                let Some(incoming) = admit(incoming, connecting.load(Ordering::Relaxed)) else { continue };
                let Some(place) = connector.datagram_place() else {
                    incoming.refuse();
                    continue;
                };
                let connecting = Place::take(&connecting);
                let device = connector.clone();
                connector
                    .tasks
                    .spawn(async move { device.serve_quic_device(incoming, place, connecting).await });
            }
            // New handshakes are refused while the devices that are here are sent away.
            endpoint.set_server_config(None);
        });
    }

    async fn serve_quic_device(&self, incoming: Incoming, place: Place, connecting: Place) {
        let remote = incoming.remote_address();
        match Box::pin(accept_stream(incoming, self.core.config.hello_timeout)).await {
            Ok(stream) => Box::pin(self.log_in(stream, remote, place)).await,
            Err(error) => tracing::debug!(%error, "QUIC handshake failed"),
        }
        drop(connecting);
    }
}
