//! The first byte on the device port: ours, TLS, or somebody who took the wrong door.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::transport::linger;

/// The answer to a plain HTTP request on the device port.
pub const HTTP_ON_DEVICE_PORT: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 107\r\n\r\n\
    This is the port for devices that speak Whimbrel frames over TCP. HTTP and WebSocket are on the HTTP port.\n";

/// How long that answer may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// What a connection's first byte says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstByte {
    /// At least 0x80: [`protocol::preface::PREFACE`].
    Preface,
    /// 0x16: a TLS handshake record.
    Tls,
    /// An ASCII letter: an HTTP method.
    Http,
    Other,
}

/// Tells the protocols of the device port apart.
pub fn classify(byte: u8) -> FirstByte {
    match byte {
        0x80.. => FirstByte::Preface,
        0x16 => FirstByte::Tls,
        b'A'..=b'Z' | b'a'..=b'z' => FirstByte::Http,
        _ => FirstByte::Other,
    }
}

/// Waits for the first byte and leaves it in the socket; `None` if the peer closed. The caller sets the deadline.
pub async fn first_byte(stream: &TcpStream) -> io::Result<Option<FirstByte>> {
    let mut byte = [0];
    let length = stream.peek(&mut byte).await?;
    Ok((length > 0).then(|| classify(byte[0])))
}

/// Answers an HTTP request with [`HTTP_ON_DEVICE_PORT`] and closes.
pub async fn refuse_http(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(HTTP_ON_DEVICE_PORT).await?;
        stream.shutdown().await
    };
    // The peer may be gone already, and then nobody misses the answer.
    if let Ok(Ok(())) = tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        linger(&mut stream, ANSWER_DEADLINE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    #[test]
    fn bytes_are_told_apart() {
        assert_eq!(classify(protocol::preface::PREFACE[0]), FirstByte::Preface);
        for byte in 0..=255u8 {
            let expected = match byte {
                128..=255 => FirstByte::Preface,
                0x16 => FirstByte::Tls,
                _ if byte.is_ascii_alphabetic() => FirstByte::Http,
                _ => FirstByte::Other,
            };
            assert_eq!(classify(byte), expected, "{byte:#x}");
        }
    }

    #[test]
    fn the_answer_has_the_length_it_says() {
        let text = std::str::from_utf8(HTTP_ON_DEVICE_PORT).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{}", body.len());
    }

    #[tokio::test]
    async fn peeking_takes_nothing_and_http_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(first_byte(&server).await.unwrap(), Some(FirstByte::Http));
        let mut first = [0];
        server.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"G");
        let read = async {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let ((), answer) = tokio::join!(refuse_http(server), read);
        assert_eq!(answer, HTTP_ON_DEVICE_PORT);
    }

    #[tokio::test]
    async fn a_peer_that_closes_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        drop(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(first_byte(&server).await.unwrap(), None);
    }
}
