//! One device's connection, as lean as a load generator needs it: no reconnect, no ordering, no heartbeat.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use protocol::frame::{self, Peek};
use protocol::limit::MAX_FRAME_BYTES;
use protocol::preface::{PREFACE, WEBSOCKET_PATH};
use protocol::v1::{ClientFrame, ClientInfo, Hello, SendAck, ServerFrame, client_frame, server_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::access::Access;
use crate::load::plan::Transport;

/// A logged-in device, its halves apart so that sending and receiving may be two tasks.
pub struct Device {
    pub reader: Reader,
    pub writer: Writer,
}

/// Frames from the gateway.
pub struct Reader {
    stream: OwnedReadHalf,
    transport: Transport,
    raw: BytesMut,
    frames: BytesMut,
}

/// Frames to the gateway.
pub struct Writer {
    stream: OwnedWriteHalf,
    transport: Transport,
}

impl Device {
    /// Connects and logs `user` in.
    pub async fn log_in(access: &Access, transport: Transport, user: &str) -> anyhow::Result<Device> {
        let (reader, mut writer) = open(access, transport).await?;
        let hello = Hello {
            version_min: 1,
            version_max: 1,
            client: Some(ClientInfo { name: "bench".into(), ..ClientInfo::default() }),
            token: access.minter.token(user)?,
            installation: "bench".into(),
            ..Hello::default()
        };
        writer.send(0, client_frame::Body::Hello(hello)).await?;
        let mut reader = reader;
        match reader.next().await?.body {
            Some(server_frame::Body::Welcome(_)) => Ok(Device { reader, writer }),
            other => bail!("{user} was not welcomed: {other:?}"),
        }
    }

    /// Sends one request and waits until it is acknowledged; pushes that come before are dropped.
    pub async fn request(&mut self, id: u64, body: client_frame::Body) -> anyhow::Result<SendAck> {
        self.writer.send(id, body).await?;
        loop {
            let frame = self.reader.next().await?;
            match frame.body {
                _ if frame.re != id => {}
                Some(server_frame::Body::SendAck(ack)) => return Ok(ack),
                other => bail!("not acknowledged: {other:?}"),
            }
        }
    }
}

impl Writer {
    /// Sends one request.
    pub async fn send(&mut self, id: u64, body: client_frame::Body) -> anyhow::Result<()> {
        self.write(ClientFrame { ack: 0, id, body: Some(body) }).await
    }

    async fn write(&mut self, frame: ClientFrame) -> anyhow::Result<()> {
        let frame = frame::encode(&frame);
        let message = match self.transport {
            Transport::Websocket => masked(&frame),
            _ => frame,
        };
        self.stream.write_all(&message).await.context("the gateway closed the connection")
    }
}

impl Reader {
    /// The session seq of the next message; 0 if it is not stored.
    pub async fn message(&mut self) -> anyhow::Result<u64> {
        loop {
            let frame = self.next().await?;
            if matches!(frame.body, Some(server_frame::Body::Message(_))) {
                return Ok(frame.session_seq);
            }
        }
    }

    /// The next frame.
    pub async fn next(&mut self) -> anyhow::Result<ServerFrame> {
        loop {
            if let Peek::Whole(length) = frame::peek(&self.frames, MAX_FRAME_BYTES)? {
                let frame = frame::open(self.frames.split_to(length).freeze())?;
                let message = frame.messages::<ServerFrame>().next().context("an empty batch")??;
                return Ok(message);
            }
            let input = match self.transport {
                Transport::Websocket => &mut self.raw,
                _ => &mut self.frames,
            };
            if self.stream.read_buf(input).await? == 0 {
                bail!("the gateway closed the connection");
            }
            while self.transport == Transport::Websocket && take_message(&mut self.raw, &mut self.frames)? {}
        }
    }
}

async fn open(access: &Access, transport: Transport) -> anyhow::Result<(Reader, Writer)> {
    let address = *access.addresses(transport).first().context("no address")?;
    let mut stream =
        TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    match transport {
        Transport::Tcp => stream.write_all(&PREFACE).await?,
        Transport::Websocket => upgrade(&mut stream, address).await?,
        Transport::Tls | Transport::Quic => bail!("this works over tcp and websocket only"),
    }
    let (read, write) = stream.into_split();
    let reader = Reader { stream: read, transport, raw: BytesMut::new(), frames: BytesMut::new() };
    Ok((reader, Writer { stream: write, transport }))
}

async fn upgrade(stream: &mut TcpStream, host: SocketAddr) -> anyhow::Result<()> {
    let request = format!(
        "GET {WEBSOCKET_PATH} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    // Byte by byte: the gateway speaks only when spoken to, so nothing after the head can be taken by mistake.
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.context("the gateway refused the WebSocket")?);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        bail!("no WebSocket: {}", String::from_utf8_lossy(&head));
    }
    Ok(())
}

/// A binary message under the mask 0, which leaves the payload as it is.
fn masked(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(14 + payload.len());
    out.put_u8(0x82);
    match payload.len() {
        length @ ..126 => out.put_u8(0x80 | length as u8),
        length @ ..65_536 => {
            out.put_u8(0x80 | 126);
            out.put_u16(length as u16);
        }
        length => {
            out.put_u8(0x80 | 127);
            out.put_u64(length as u64);
        }
    }
    out.put_u32(0);
    out.put_slice(payload);
    out.freeze()
}

/// Moves one message's payload to `frames`, if it is whole.
fn take_message(raw: &mut BytesMut, frames: &mut BytesMut) -> anyhow::Result<bool> {
    let Some(&[first, short]) = raw.get(..2) else { return Ok(false) };
    let extended = match short {
        ..126 => 0,
        126 => 2,
        _ => 8,
    };
    let Some(mut field) = raw.get(2..2 + extended) else { return Ok(false) };
    let length = if extended == 0 { u64::from(short) } else { field.get_uint(extended) } as usize;
    if raw.len() < 2 + extended + length {
        return Ok(false);
    }
    if first & 0x0F != 2 {
        bail!("the gateway closed the WebSocket");
    }
    raw.advance(2 + extended);
    frames.extend_from_slice(&raw.split_to(length));
    Ok(true)
}
