//! One GET of a gateway's HTTP port.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::load::trusting;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The whole answer, head included. With a certificate it is HTTPS.
pub fn get(address: SocketAddr, path: &str, certificate: Option<&Path>) -> anyhow::Result<String> {
    let stream =
        TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| format!("no HTTP at {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let Some(certificate) = certificate else { return ask(stream, path) };
    let mut config = trusting(certificate)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
    ask(StreamOwned::new(connection, stream), path)
}

fn ask(mut stream: impl Read + Write, path: &str) -> anyhow::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Some servers end TLS by closing.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(error.into()),
        _ => {}
    }
    Ok(String::from_utf8(answer)?)
}
