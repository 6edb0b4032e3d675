//! The HTTP port: WebSocket devices and whatever the router serves, in plain text or TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use protocol::code::Code;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::rustls::ServerConfig;

use crate::accept::Place;
use crate::connector::Connector;
use crate::http::{Served, accept_http, tell_busy};
use crate::tls;
use crate::transport::Transport;
use crate::websocket::WebSocket;
use crate::websocket::upgrade::UpgradePolicy;

/// What the HTTP port serves, and to whom.
pub struct HttpPort {
    pub policy: UpgradePolicy,
    /// Everything that is not a WebSocket of ours.
    pub router: Router,
    /// Plain HTTP without it.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Connector {
    /// Serves WebSockets and `port.router` on `listener`.
    pub fn serve_http(self: &Arc<Self>, listener: TcpListener, port: HttpPort) {
        let room = Semaphore::new(self.core.config.max_http_connections);
        let port = Arc::new((port, room));
        self.accept_tcp(listener, &self.stop_pages, move |connector, stream, remote, place| {
            let port = port.clone();
            // Boxed: the branches of a login are much larger than what the task keeps.
            Box::pin(async move {
                let Some(tls) = port.0.tls.clone() else {
                    return connector.serve_request(stream, remote, place, &port).await;
                };
                match tls::accept(tls, stream, connector.core.config.hello_timeout).await {
                    Ok(stream) => connector.serve_request(stream, remote, place, &port).await,
                    Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                }
            })
        });
    }

    async fn serve_request<S>(
        &self,
        stream: S,
        remote: SocketAddr,
        place: Place,
        (port, room): &(HttpPort, Semaphore),
    ) where
        S: Transport,
        WebSocket<S>: Transport,
    {
        // A page or a probe that keeps its connection alive ends with the drain like everything else.
        let served = tokio::select! {
            () = self.stop_pages.cancelled() => return,
            served = accept_http(stream, &port.policy, &port.router, room) => served,
        };
        match served {
            Served::Device(socket) if self.stop.is_cancelled() => {
                self.refuse_with(socket, Code::SHUTTING_DOWN).await;
            }
            Served::Device(socket) => self.log_in(socket, remote, place).await,
            Served::Busy(stream) => {
                // Counted first: whoever reads the answer finds it in the metrics.
                self.core.metrics.refused_http.add(1);
                tell_busy(stream).await;
            }
            Served::Ended => {}
        }
    }
}
