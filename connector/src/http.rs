//! The HTTP port: a WebSocket for devices, everything else for the router.

use std::io;
use std::time::Duration;

use axum::Router;
use bytes::BytesMut;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use protocol::preface::WEBSOCKET_PATH;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use crate::rewind::Rewind;
use crate::transport::{Transport, linger};
use crate::websocket::WebSocket;
use crate::websocket::upgrade::{self, Accepted, Refusal, UpgradePolicy};

/// Most bytes of a request head.
pub const MAX_HEAD_BYTES: usize = 8 * 1024;
/// How long a client may take for a request head, however it drips. Also closes an idle kept-alive connection.
pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);
/// How long a connection that is no WebSocket may last, whatever it does: a client that does not read what it asked
/// for holds its place no longer.
pub const CONNECTION_DEADLINE: Duration = Duration::from_secs(30);
/// Most header lines of a request.
const MAX_HEADERS: usize = 64;
/// How long a refusal, or an upgrade's answer, may take to get out.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

/// What became of a connection of the HTTP port.
pub enum Served<S> {
    /// Its first request asked for a WebSocket and was accepted.
    Device(WebSocket<S>),
    /// It was answered to its end.
    Ended,
    /// As many others as may be are being answered: it is to be told so with [`tell_busy`].
    Busy(S),
}

impl<S> Served<S> {
    /// The device, if it is one.
    pub fn device(self) -> Option<WebSocket<S>> {
        match self {
            Served::Device(socket) => Some(socket),
            Served::Ended | Served::Busy(_) => None,
        }
    }
}

/// Serves one connection of the HTTP port. One that is no device takes a permit of `room` for as long as the router
/// answers it, so that pages and probes cannot use up the places of devices.
///
/// A WebSocket can only be asked for by a connection's first request: the router answers what follows on a
/// kept-alive connection.
pub async fn accept_http<S: Transport>(
    mut stream: S,
    policy: &UpgradePolicy,
    router: &Router,
    room: &Semaphore,
) -> Served<S> {
    let read = tokio::time::timeout(HEAD_DEADLINE, read_head(&mut stream)).await;
    let bytes = match read.unwrap_or(Err(HeadError::Slow)) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::trace!(%error, "no request head");
            if let Some(answer) = error.answer() {
                refuse(stream, answer).await;
            }
            return Served::Ended;
        }
    };
    match judge(&bytes, policy) {
        Judged::WebSocket(accepted) => open(stream, &accepted).await.map_or(Served::Ended, Served::Device),
        Judged::Refused(refusal) => {
            tracing::debug!(%refusal, "WebSocket refused");
            refuse(stream, &refusal.response()).await;
            Served::Ended
        }
        Judged::Other => {
            let Ok(_place) = room.try_acquire() else {
                return Served::Busy(stream);
            };
            let served = serve(Rewind::new(bytes.freeze(), stream), router);
            if tokio::time::timeout(CONNECTION_DEADLINE, served).await.is_err() {
                tracing::debug!("an HTTP connection was cut at its deadline");
            }
            Served::Ended
        }
    }
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
enum HeadError {
    #[error("the connection ended")]
    Ended,
    #[error("the head was not whole in time")]
    Slow,
    #[error("the head is too large")]
    TooLarge,
    #[error("not an HTTP/1 request: {0}")]
    Malformed(httparse::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl HeadError {
    fn answer(&self) -> Option<&'static [u8]> {
        match self {
            HeadError::Ended | HeadError::Io(_) => None,
            HeadError::Slow => Some(TIMED_OUT),
            HeadError::TooLarge | HeadError::Malformed(httparse::Error::TooManyHeaders) => Some(TOO_LARGE),
            HeadError::Malformed(_) => Some(BAD_REQUEST),
        }
    }
}

/// Reads until a request head is whole; what follows it may be there too.
async fn read_head<S: Transport>(stream: &mut S) -> Result<BytesMut, HeadError> {
    let mut bytes = BytesMut::with_capacity(1024);
    loop {
        let start = bytes.len();
        if start >= MAX_HEAD_BYTES {
            return Err(HeadError::TooLarge);
        }
        if (&mut *stream).take((MAX_HEAD_BYTES - start) as u64).read_buf(&mut bytes).await? == 0 {
            return Err(HeadError::Ended);
        }
        // Only the end of a line can end the head, so a slow drip is not parsed again for every byte.
        if bytes[start..].contains(&b'\n') && is_whole(&bytes)? {
            return Ok(bytes);
        }
    }
}

fn is_whole(bytes: &[u8]) -> Result<bool, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let status = httparse::Request::new(&mut headers).parse(bytes).map_err(HeadError::Malformed)?;
    Ok(status.is_complete())
}

enum Judged {
    WebSocket(Accepted),
    Refused(Refusal),
    Other,
}

fn judge(bytes: &[u8], policy: &UpgradePolicy) -> Judged {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else {
        return Judged::Other;
    };
    let path = request.path.unwrap_or_default();
    if path.split('?').next() != Some(WEBSOCKET_PATH) {
        return Judged::Other;
    }
    match upgrade::check(&request, policy) {
        Ok(_) if bytes.len() > length => {
            Judged::Refused(Refusal::Malformed("bytes arrived before the upgrade was answered"))
        }
        Ok(accepted) => Judged::WebSocket(accepted),
        Err(refusal) => Judged::Refused(refusal),
    }
}

async fn open<S: Transport>(mut stream: S, accepted: &Accepted) -> Option<WebSocket<S>> {
    let response = accepted.response();
    let answer = async {
        stream.write_all(&response).await?;
        stream.flush().await
    };
    match tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        Ok(Ok(())) => Some(WebSocket::new(stream)),
        _ => None,
    }
}

/// Answers 503, and waits for the peer to read it.
pub async fn tell_busy<S: Transport>(stream: S) {
    refuse(stream, BUSY).await;
}

async fn refuse<S: Transport>(mut stream: S, response: &[u8]) {
    let answer = async {
        stream.write_all(response).await?;
        stream.shutdown().await
    };
    // The peer may be gone already, and then nobody misses the answer.
    if let Ok(Ok(())) = tokio::time::timeout(ANSWER_DEADLINE, answer).await {
        linger(&mut stream, ANSWER_DEADLINE).await;
    }
}

async fn serve<S: Transport>(stream: Rewind<S>, router: &Router) {
    let service = TowerToHyperService::new(router.clone());
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_buf_size(2 * MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = Box::pin(connection).await {
        tracing::trace!(%error, "HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client's side of a connection that is being served, and what becomes of it.
    fn serve_pipe(router: Router) -> (tokio::io::DuplexStream, impl Future<Output = bool>) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let served = async move {
            let room = Semaphore::new(1);
            accept_http(server, &UpgradePolicy::default(), &router, &room).await.device().is_some()
        };
        (client, served)
    }

    /// Everything the server answers, until it closes.
    async fn answer(client: &mut tokio::io::DuplexStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_dripping_client_is_cut_at_the_deadline() {
        let (mut client, served) = serve_pipe(Router::new());
        let started = tokio::time::Instant::now();
        let (mut reading, mut writing) = tokio::io::split(&mut client);
        let drip = async {
            for byte in b"GET / HTTP/1.1\r\nHost: slow".iter().cycle() {
                if writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        let mut text = String::new();
        let served = async {
            let upgraded = served.await;
            (upgraded, started.elapsed())
        };
        let ((upgraded, elapsed), (), read) = tokio::join!(served, drip, reading.read_to_string(&mut text));
        read.unwrap();
        assert!(!upgraded);
        assert!(text.starts_with("HTTP/1.1 408 "), "{text}");
        assert!(elapsed <= HEAD_DEADLINE + ANSWER_DEADLINE, "{elapsed:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_kept_alive_connection_is_closed() {
        let router = Router::new().fallback(|| async { "hello" });
        let (mut client, served) = serve_pipe(router);
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let started = tokio::time::Instant::now();
        let (upgraded, text) = tokio::join!(served, answer(&mut client));
        assert!(!upgraded);
        assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("hello"), "{text}");
        assert!(started.elapsed() <= 2 * HEAD_DEADLINE, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_cut_at_the_deadline() {
        let router = Router::new().fallback(|| async { "x".repeat(1 << 20) });
        let (mut client, served) = serve_pipe(router);
        client.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let started = tokio::time::Instant::now();
        assert!(!served.await);
        assert!(started.elapsed() <= CONNECTION_DEADLINE + HEAD_DEADLINE, "{:?}", started.elapsed());
        drop(client);
    }

    #[tokio::test]
    async fn who_finds_no_room_is_told_503_and_a_device_needs_none() {
        let full = Semaphore::new(0);
        let upgrade = "GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        for (request, status) in [("GET / HTTP/1.1\r\nHost: h\r\n\r\n", "503"), (upgrade, "101")] {
            let (mut client, server) = tokio::io::duplex(64 * 1024);
            client.write_all(request.as_bytes()).await.unwrap();
            let router = Router::new();
            let (policy, mut head) = (UpgradePolicy::default(), [0; 12]);
            let read = async {
                client.read_exact(&mut head).await.unwrap();
                client.shutdown().await.unwrap();
            };
            let serve = async {
                match accept_http(server, &policy, &router, &full).await {
                    Served::Busy(stream) => {
                        tell_busy(stream).await;
                        "503"
                    }
                    Served::Device(_) => "101",
                    Served::Ended => "ended",
                }
            };
            let (served, ()) = tokio::join!(serve, read);
            assert_eq!(std::str::from_utf8(&head).unwrap(), format!("HTTP/1.1 {status}"));
            assert_eq!(served, status);
        }
    }

    #[tokio::test]
    async fn heads_beyond_the_limits_are_refused() {
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n", "x".repeat(MAX_HEAD_BYTES));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 1));
        let garbage = "\x01\x02\x03\r\n\r\n".to_owned();
        let http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned();
        for (head, status) in [(long, "431"), (many, "431"), (garbage, "400"), (http2, "400")] {
            let (mut client, served) = serve_pipe(Router::new());
            let talk = async {
                client.write_all(head.as_bytes()).await.unwrap();
                client.shutdown().await.unwrap();
                answer(&mut client).await
            };
            let (upgraded, text) = tokio::join!(served, talk);
            assert!(!upgraded);
            assert_eq!(text.split(' ').nth(1), Some(status), "{text}");
        }
    }
}
