//! The HTTP port: WebSocket devices and whatever the router serves, in plain text or TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::accept::Place;
use crate::connector::Connector;
use crate::http::accept_http;
use crate::transport::Transport;
use crate::websocket::WebSocket;
use crate::websocket::upgrade::UpgradePolicy;

/// What the HTTP port serves, and to whom.
pub struct HttpPort {
    pub policy: UpgradePolicy,
    /// Everything that is not a WebSocket of ours.
    pub router: Router,
    /// Plain HTTP without it.
    pub tls: Option<TlsAcceptor>,
}

impl Connector {
    /// Serves WebSockets and `port.router` on `listener`.
    pub fn serve_http(self: &Arc<Self>, listener: TcpListener, port: HttpPort) {
        let port = Arc::new(port);
        self.accept_tcp(listener, move |connector, stream, remote, place| {
            let port = port.clone();
            // Boxed: the branches of a login are much larger than what the task keeps.
            Box::pin(async move {
                match &port.tls {
                    None => connector.serve_request(stream, remote, place, &port).await,
                    Some(tls) => {
                        let wait = connector.core.config.hello_timeout;
                        match tokio::time::timeout(wait, tls.accept(stream)).await {
                            Ok(Ok(stream)) => {
                                connector.serve_request(Box::new(stream), remote, place, &port).await;
                            }
                            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                            Err(_) => tracing::debug!("TLS handshake timed out"),
                        }
                    }
                }
            })
        });
    }

    async fn serve_request<S>(&self, stream: S, remote: SocketAddr, place: Place, port: &HttpPort)
    where
        S: Transport,
        WebSocket<S>: Transport,
    {
        // A page or a probe that keeps its connection alive ends with the drain like everything else.
        let accepted = tokio::select! {
            () = self.stop.cancelled() => return,
            accepted = accept_http(stream, &port.policy, &port.router) => accepted,
        };
        if let Some(socket) = accepted {
            self.log_in(socket, remote, place).await;
        }
    }
}
