//! Bytes that are no protocol. The answer is a code, and other connections do not notice.

use protocol::code::Code;
use protocol::frame;
use protocol::limit::{MAX_FRAME_BYTES, MAX_HELLO_BYTES};
use protocol::preface::PREFACE;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, Hello, Ping};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::process::{Gateway, Settings};
use crate::support::raw::{Raw, acked, hello, text_to};
use crate::support::soon;

/// A gateway and a device that must not notice anything.
struct Stage {
    gateway: Gateway,
    bystander: Raw,
}

impl Stage {
    async fn new() -> Stage {
        Stage::with(Settings::new()).await
    }

    async fn with(settings: Settings) -> Stage {
        let gateway = Gateway::with(settings).await;
        let (bystander, _) = Raw::login(&gateway, "bystander", "calm").await;
        Stage { gateway, bystander }
    }

    /// What the gateway says to these bytes on a fresh connection.
    async fn says_to(&self, bytes: &[u8]) -> Option<Code> {
        let mut raw = Raw::connect(self.gateway.tcp).await;
        raw.bytes(bytes).await;
        raw.closed_with().await
    }

    /// What the gateway says to these bytes from a device that is logged in.
    async fn says_to_device(&self, bytes: &[u8]) -> Option<Code> {
        let (mut raw, _) = Raw::login(&self.gateway, "mallory", "bad").await;
        raw.bytes(bytes).await;
        raw.closed_with().await
    }

    /// The bystander's connection still works.
    async fn nobody_noticed(mut self) {
        assert!(matches!(self.bystander.request(Ask::Ping(Ping {})).await, Told::Pong(_)));
        acked(self.bystander.request(Ask::Send(text_to("friend", "still here"))).await);
        assert!(self.gateway.is_alive());
    }
}

fn after_preface(rest: &[u8]) -> Vec<u8> {
    [PREFACE.as_slice(), rest].concat()
}

fn whole_hello(token: &str) -> Vec<u8> {
    let body = Some(Ask::Hello(hello(token, "bad")));
    after_preface(&frame::encode(&ClientFrame { ack: 0, id: 0, body }))
}

#[tokio::test]
async fn a_length_of_zero() {
    let stage = Stage::new().await;
    assert_eq!(stage.says_to(&after_preface(&[0, 0, 0, 0])).await, Some(Code::FRAME_EMPTY));
    assert_eq!(stage.says_to_device(&[0, 0, 0, 0]).await, Some(Code::FRAME_EMPTY));
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn a_length_above_the_limit() {
    let stage = Stage::new().await;
    let before_login = (MAX_HELLO_BYTES as u32 + 1).to_be_bytes();
    assert_eq!(stage.says_to(&after_preface(&before_login)).await, Some(Code::FRAME_TOO_LARGE));
    for length in [MAX_FRAME_BYTES as u32 + 1, 1 << 30, u32::MAX] {
        assert_eq!(stage.says_to_device(&length.to_be_bytes()).await, Some(Code::FRAME_TOO_LARGE));
    }
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn a_frame_cut_at_every_byte() {
    let stage = Stage::new().await;
    let whole =
        frame::encode(&ClientFrame { ack: 0, id: 9, body: Some(Ask::Send(text_to("friend", "cut"))) });
    for cut in 1..whole.len() {
        let (mut raw, _) = Raw::login(&stage.gateway, "mallory", "bad").await;
        raw.bytes(&whole[..cut]).await;
        raw.stream.shutdown().await.unwrap();
        assert_eq!(raw.closed_with().await, Some(Code::TRUNCATED), "cut at {cut} of {}", whole.len());
    }
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn a_hello_cut_at_every_byte() {
    let stage = Stage::new().await;
    let whole = whole_hello(&stage.gateway.token("mallory"));
    for cut in 1..whole.len() {
        let mut raw = Raw::connect(stage.gateway.tcp).await;
        raw.bytes(&whole[..cut]).await;
        raw.stream.shutdown().await.unwrap();
        let code = raw.closed_with().await;
        // Right after the preface nothing has begun: there is nothing to complain about.
        let expected = (cut != PREFACE.len()).then_some(Code::TRUNCATED);
        assert_eq!(code, expected, "cut at {cut} of {}", whole.len());
    }
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn garbage_instead_of_the_preface() {
    let stage = Stage::new().await;
    for garbage in [[0xFF; 16], [0x80; 16], [0xD7; 16]] {
        assert_eq!(stage.says_to(&garbage).await, Some(Code::BAD_PREFACE), "{garbage:02x?}");
    }
    // Another framing version.
    assert_eq!(stage.says_to(&[0xD7, b'W', b'B', 2]).await, Some(Code::BAD_PREFACE));
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn garbage_instead_of_hello() {
    let stage = Stage::new().await;
    // A whole frame whose body is no message.
    let noise = after_preface(&[0, 0, 0, 5, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(stage.says_to(&noise).await, Some(Code::MALFORMED));
    let ping = frame::encode(&ClientFrame { ack: 0, id: 1, body: Some(Ask::Ping(Ping {})) });
    assert_eq!(stage.says_to(&after_preface(&ping)).await, Some(Code::HELLO_EXPECTED));
    let nothing = after_preface(&[0, 0, 0, 1, 0]);
    assert_eq!(stage.says_to(&nothing).await, Some(Code::HELLO_EXPECTED));
    let compressed = after_preface(&[0, 0, 0, 2, 1, 0]);
    assert_eq!(stage.says_to(&compressed).await, Some(Code::UNSUPPORTED_FLAG));
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn garbage_after_login() {
    let stage = Stage::new().await;
    let codes = [
        (&[0, 0, 0, 3, 0, 0xFF, 0xFF][..], Code::MALFORMED),
        (&[0, 0, 0, 2, 0x80, 0][..], Code::UNSUPPORTED_FLAG),
        // A batch whose message is longer than the frame.
        (&[0, 0, 0, 3, 2, 9, 0][..], Code::MALFORMED),
        // An acknowledgement of a push that was never made.
        (&[0, 0, 0, 3, 0, 0x08, 0x7F][..], Code::MALFORMED),
    ];
    for (bytes, code) in codes {
        assert_eq!(stage.says_to_device(bytes).await, Some(code), "{bytes:02x?}");
    }
    let again = frame::encode(&ClientFrame { ack: 0, id: 0, body: Some(Ask::Hello(Hello::default())) });
    assert_eq!(stage.says_to_device(&again).await, Some(Code::UNEXPECTED_HELLO));
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn text_that_is_not_utf_8() {
    let stage = Stage::new().await;
    // ClientFrame { id: 1, send: Send { conversation: <ff fe> } }
    let bad = [0, 0, 0, 9, 0, 0x10, 0x01, 0x1A, 0x04, 0x0A, 0x02, 0xFF, 0xFE];
    assert_eq!(stage.says_to_device(&bad).await, Some(Code::MALFORMED));
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn no_hello_in_time() {
    let stage = Stage::with(Settings::new().set("limits.hello_timeout_ms", 200)).await;
    let whole = whole_hello(&stage.gateway.token("mallory"));
    for part in [0, 3, PREFACE.len(), whole.len() - 1] {
        let code = stage.says_to(&whole[..part]).await;
        // Before the first byte it is not known what the peer speaks.
        assert!(code == Some(Code::HELLO_TIMEOUT) || part == 0, "{part} bytes: {code:?}");
    }
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn no_shared_version() {
    let stage = Stage::new().await;
    let mut raw = Raw::connect(stage.gateway.tcp).await;
    let future = Hello { version_min: 2, version_max: 9, ..hello(&stage.gateway.token("mallory"), "bad") };
    let refused = raw.hello(future).await.unwrap_err();
    assert_eq!(refused.code, Code::UNSUPPORTED_VERSION.number());
    stage.nobody_noticed().await;
}

#[tokio::test]
async fn http_on_the_tcp_port() {
    let stage = Stage::new().await;
    let mut stream = TcpStream::connect(stage.gateway.tcp).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    soon("the end of the answer", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 4"), "HTTP is answered in HTTP: {answer:?}");
    stage.nobody_noticed().await;
}
