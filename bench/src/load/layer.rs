//! What lies between a socket's bytes and a speech's: nothing, TLS, or WebSocket.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::websocket::WebSocket;

pub enum Layer {
    Plain,
    Tls(Box<ClientConnection>),
    WebSocket(Box<WebSocket>),
}

impl Layer {
    pub fn tls(config: Arc<ClientConfig>, host: &str) -> anyhow::Result<Layer> {
        let name = ServerName::try_from(host.to_owned()).context("no name for the server")?;
        Ok(Layer::Tls(Box::new(ClientConnection::new(config, name)?)))
    }

    /// What has to be said before anything else. Whether the speech may begin at once.
    pub fn begin(&mut self, host: &str, out: &mut Vec<u8>) -> bool {
        match self {
            Layer::Plain => true,
            Layer::Tls(_) => true,
            Layer::WebSocket(socket) => {
                socket.ask(host, out);
                false
            }
        }
    }

    /// Appends what the socket has to carry for these bytes.
    pub fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) -> anyhow::Result<()> {
        match self {
            Layer::Plain => out.extend_from_slice(plain),
            Layer::WebSocket(socket) => socket.seal(plain, out),
            Layer::Tls(tls) => {
                tls.writer().write_all(plain)?;
                while tls.wants_write() {
                    tls.write_tls(out)?;
                }
            }
        }
        Ok(())
    }

    /// Appends what bytes of the socket mean, and to `out` what the layer itself answers. True if the speech may
    /// begin now.
    pub fn open(&mut self, mut raw: &[u8], plain: &mut Vec<u8>, out: &mut Vec<u8>) -> anyhow::Result<bool> {
        match self {
            Layer::Plain => plain.extend_from_slice(raw),
            Layer::WebSocket(socket) => return socket.open(raw, plain),
            Layer::Tls(tls) => {
                while !raw.is_empty() {
                    tls.read_tls(&mut raw)?;
                    let state = tls.process_new_packets().context("TLS")?;
                    let start = plain.len();
                    plain.resize(start + state.plaintext_bytes_to_read(), 0);
                    tls.reader().read_exact(&mut plain[start..])?;
                }
                while tls.wants_write() {
                    tls.write_tls(out)?;
                }
            }
        }
        Ok(false)
    }
}
