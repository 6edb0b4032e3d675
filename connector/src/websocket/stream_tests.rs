use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::mask::unmask;
use super::*;

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A WebSocket on a pipe of this many bytes, and the raw end of it.
fn pipe(capacity: usize) -> (WebSocket<DuplexStream>, DuplexStream) {
    let (server, client) = tokio::io::duplex(capacity);
    (WebSocket::new(server), client)
}

fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (mut header, length) = frame::header(Opcode::Binary, payload.len());
    header[0] = first;
    header[1] |= 0x80;
    let mut frame = [&header[..length], &MASK].concat();
    let start = frame.len();
    frame.extend_from_slice(payload);
    unmask(&mut frame[start..], MASK);
    frame
}

/// One server frame: first byte and payload.
async fn server_frame(client: &mut DuplexStream) -> (u8, Vec<u8>) {
    let first = client.read_u8().await.unwrap();
    let length = match client.read_u8().await.unwrap() {
        126 => u64::from(client.read_u16().await.unwrap()),
        127 => client.read_u64().await.unwrap(),
        length => u64::from(length),
    };
    let mut payload = vec![0; length as usize];
    client.read_exact(&mut payload).await.unwrap();
    (first, payload)
}

/// Polls a read once.
async fn poll_read(socket: &mut WebSocket<DuplexStream>) -> Poll<io::Result<Vec<u8>>> {
    let mut space = [0; 64];
    poll_fn(|cx| {
        let mut buf = ReadBuf::new(&mut space);
        let polled = Pin::new(&mut *socket).poll_read(cx, &mut buf);
        Poll::Ready(polled.map_ok(|()| buf.filled().to_vec()))
    })
    .await
}

#[test]
fn an_adapter_is_small() {
    let beside = size_of::<WebSocket<tokio::net::TcpStream>>() - size_of::<tokio::net::TcpStream>();
    assert!(beside <= 64, "{beside}");
}

#[tokio::test]
async fn payload_is_left_in_the_callers_buffer_behind_what_is_there() {
    let (mut socket, mut client) = pipe(1024);
    let bytes =
        [client_frame(0x02, b"one "), client_frame(0x00, b"two "), client_frame(0x80, b"three")].concat();
    client.write_all(&bytes).await.unwrap();
    let mut read = bytes::BytesMut::from(&b"zero "[..]);
    socket.read_buf(&mut read).await.unwrap();
    assert_eq!(&read[..], b"zero one two three");
    assert!(socket.outgoing.is_none());
}

#[tokio::test]
async fn payload_before_a_violation_still_arrives() {
    let (mut socket, mut client) = pipe(1024);
    client.write_all(&[client_frame(0x82, b"good"), client_frame(0x81, b"text")].concat()).await.unwrap();
    let mut buf = [0; 64];
    assert_eq!(socket.read(&mut buf).await.unwrap(), 4);
    for _ in 0..2 {
        let error = socket.read(&mut buf).await.unwrap_err();
        assert_eq!(crate::transport::code_of(&error), Some(Code::TEXT_MESSAGE));
    }
}

#[tokio::test]
async fn a_write_is_one_message_whatever_the_socket_takes() {
    for length in [1, 125, 126, 65_535, 65_536, 300_000] {
        let (mut socket, mut client) = pipe(100);
        let payload = vec![7; length];
        let write = async {
            assert_eq!(socket.write(&payload).await.unwrap(), length);
            socket.flush().await.unwrap();
            assert!(socket.outgoing.is_none(), "nothing is kept once it is out");
        };
        let ((), got) = tokio::join!(write, server_frame(&mut client));
        assert_eq!(got, (0x82, payload));
    }
}

#[tokio::test]
async fn while_a_rest_waits_the_next_write_is_pending() {
    let (mut socket, mut client) = pipe(10);
    assert_eq!(socket.write(&[1; 50]).await.unwrap(), 50);
    let again = poll_fn(|cx| Poll::Ready(Pin::new(&mut socket).poll_write(cx, &[2; 50]))).await;
    assert!(again.is_pending());
    let write = async {
        assert_eq!(socket.write(&[3; 5]).await.unwrap(), 5);
        socket.flush().await.unwrap();
    };
    let read = async { (server_frame(&mut client).await, server_frame(&mut client).await) };
    let ((), got) = tokio::join!(write, read);
    assert_eq!(got, ((0x82, vec![1; 50]), (0x82, vec![3; 5])));
}

#[tokio::test]
async fn vectored_writes_are_one_message_too() {
    for count in [1, 3, MAX_SLICES, MAX_SLICES + 1, 100] {
        for capacity in [16, 4096] {
            let (mut socket, mut client) = pipe(capacity);
            let parts: Vec<Vec<u8>> = (0..count).map(|i| vec![i as u8; i % 5]).chain([vec![9]]).collect();
            let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
            let expected = parts.concat();
            let write = async {
                assert_eq!(socket.write_vectored(&slices).await.unwrap(), expected.len());
                socket.flush().await.unwrap();
            };
            let ((), got) = tokio::join!(write, server_frame(&mut client));
            assert_eq!(got, (0x82, expected.clone()));
        }
    }
}

/// The rest of a message, then one pong for the latest of many pings; the reading side pushes both out.
#[tokio::test]
async fn only_the_latest_ping_is_answered_and_never_inside_a_message() {
    let (mut socket, mut client) = pipe(100);
    let message = vec![5; 300];
    assert_eq!(socket.write(&message).await.unwrap(), 300);
    for round in 0..100u8 {
        client.write_all(&client_frame(0x89, &[round])).await.unwrap();
        assert!(poll_read(&mut socket).await.is_pending());
    }
    let mut buf = [0; 16];
    let read = async {
        let message = server_frame(&mut client).await;
        let pong = server_frame(&mut client).await;
        client.write_all(&client_frame(0x82, b"next")).await.unwrap();
        (message, pong)
    };
    let (length, got) = tokio::join!(socket.read(&mut buf), read);
    assert_eq!(&buf[..length.unwrap()], b"next");
    assert_eq!(got, ((0x82, message), (0x8a, vec![99])));
    assert!(socket.outgoing.is_none());
}

#[tokio::test]
async fn a_close_is_echoed_and_reads_as_the_end() {
    let (mut socket, mut client) = pipe(1024);
    let mut close = client_frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']);
    close.extend(client_frame(0x82, b"too late"));
    client.write_all(&close).await.unwrap();
    let mut buf = [0; 64];
    assert_eq!(socket.read(&mut buf).await.unwrap(), 0);
    assert_eq!(socket.read(&mut buf).await.unwrap(), 0);
    assert_eq!(server_frame(&mut client).await, (0x88, vec![0x03, 0xe8, b'b', b'y', b'e']));
    assert_eq!(socket.write(b"late").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    poll_fn(|cx| socket.poll_goodbye(cx, Code::INTERNAL)).await.unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "one close is enough");
}

#[tokio::test]
async fn a_goodbye_follows_what_was_written() {
    let (mut socket, mut client) = pipe(10);
    assert_eq!(socket.write(&[1; 40]).await.unwrap(), 40);
    let goodbye = poll_fn(|cx| socket.poll_goodbye(cx, Code::SUPERSEDED));
    let read = async {
        let message = server_frame(&mut client).await;
        let close = server_frame(&mut client).await;
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        (message, close, rest)
    };
    let (said, (message, close, rest)) = tokio::join!(goodbye, read);
    said.unwrap();
    assert_eq!(message, (0x82, vec![1; 40]));
    assert_eq!(close, (0x88, [&4204u16.to_be_bytes()[..], b"SUPERSEDED"].concat()));
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_shutdown_closes_normally() {
    let (mut socket, mut client) = pipe(1024);
    socket.shutdown().await.unwrap();
    assert_eq!(server_frame(&mut client).await, (0x88, 1000u16.to_be_bytes().to_vec()));
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
}

/// A client that sends and closes without waiting: what it sent counts, the failed pong does not.
#[tokio::test]
async fn a_pong_that_cannot_be_sent_loses_no_payload() {
    let (mut socket, mut client) = pipe(1024);
    client.write_all(&[client_frame(0x89, b"?"), client_frame(0x82, b"data")].concat()).await.unwrap();
    drop(client);
    let mut buf = [0; 64];
    assert_eq!(socket.read(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf[..4], b"data");
}

/// A pipe whose every second write is pending, though it wakes at once, and that takes at most seven bytes.
struct Hesitant {
    pipe: DuplexStream,
    ready: bool,
}

impl AsyncRead for Hesitant {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, buf)
    }
}

impl AsyncWrite for Hesitant {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.ready = !self.ready;
        if self.ready {
            return Pin::new(&mut self.pipe).poll_write(cx, &buf[..buf.len().min(7)]);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_rest_is_never_overtaken() {
    let (server, mut client) = tokio::io::duplex(4096);
    let mut socket = WebSocket::new(Hesitant { pipe: server, ready: false });
    for round in 0..20 {
        assert_eq!(socket.write(&[round; 30]).await.unwrap(), 30);
    }
    poll_fn(|cx| socket.poll_close(cx, || Control::closing(Code::SHUTTING_DOWN))).await.unwrap();
    for round in 0..20 {
        assert_eq!(server_frame(&mut client).await, (0x82, vec![round; 30]));
    }
    assert_eq!(server_frame(&mut client).await.0, 0x88);
}

/// A stream that holds bytes back, as TLS does, is flushed by the reading side.
#[tokio::test]
async fn a_pong_is_flushed_without_a_write() {
    let (server, mut client) = tokio::io::duplex(1024);
    let mut socket = WebSocket::new(tokio::io::BufWriter::new(server));
    client.write_all(&client_frame(0x89, b"?")).await.unwrap();
    let mut buf = [0; 16];
    tokio::select! {
        read = socket.read(&mut buf) => panic!("{read:?}"),
        pong = server_frame(&mut client) => assert_eq!(pong, (0x8a, b"?".to_vec())),
        () = tokio::time::sleep(std::time::Duration::from_secs(5)) => panic!("the pong is stuck"),
    }
}
