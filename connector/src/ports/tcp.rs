//! The device port: plain frames or TLS, told apart by the first byte.

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::check::Refused;
use protocol::code::Code;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;

use crate::accept::Place;
use crate::connector::Connector;
use crate::peek::{self, FirstByte};
use crate::tls;

impl Connector {
    /// Serves devices on `listener`: TLS where `tls` is given, plain frames where `plain` allows them.
    pub fn serve_tcp(self: &Arc<Self>, listener: TcpListener, tls: Option<Arc<ServerConfig>>, plain: bool) {
        self.accept_tcp(listener, &self.stop, move |connector, stream, remote, place| {
            let tls = tls.clone();
            // Boxed: the branches of a login are much larger than what the task keeps.
            Box::pin(async move { connector.serve_device(stream, remote, place, tls, plain).await })
        });
    }

    async fn serve_device(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
        place: Place,
        tls: Option<Arc<ServerConfig>>,
        plain: bool,
    ) {
        let wait = self.core.config.hello_timeout;
        let Ok(Ok(first)) = tokio::time::timeout(wait, peek::first_byte(&stream)).await else {
            return self.refuse_with(stream, Code::HELLO_TIMEOUT).await;
        };
        match (first, tls) {
            (None, _) => {}
            (Some(FirstByte::Http), _) => peek::refuse_http(stream).await,
            (Some(FirstByte::Tls), Some(tls)) => match tls::accept(tls, stream, wait).await {
                Ok(stream) => self.log_in(stream, remote, place).await,
                Err(error) => tracing::debug!(%error, "TLS handshake failed"),
            },
            (Some(FirstByte::Preface), _) if plain => self.log_in(stream, remote, place).await,
            (Some(FirstByte::Preface), Some(_)) => {
                self.refuse(stream, Refused::new(Code::BAD_PREFACE, "this port wants TLS").into()).await;
            }
            (Some(_), _) => self.refuse_with(stream, Code::BAD_PREFACE).await,
        }
    }
}
