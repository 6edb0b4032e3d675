//! One shape for every transport: chunks of bytes in both directions.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::codec::{BytesCodec, Framed};

use crate::arrivals::Arrivals;
use crate::connect::quic;

/// What the transports stand on.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any byte stream.
pub type BoxIo = Box<dyn Io>;

/// An open transport. Frames may be cut anywhere into chunks.
pub struct Pipe {
    inner: Inner,
    arrivals: Arrivals,
}

enum Inner {
    Stream(Box<Framed<BoxIo, BytesCodec>>),
    WebSocket(Box<WebSocketStream<BoxIo>>),
}

/// How a transport ended.
#[derive(Debug)]
pub enum Ended {
    /// In order, without a code.
    Eof,
    /// With a close code of the catalogue.
    Code(u32, String),
    Broken(io::Error),
}

impl Pipe {
    /// TCP, TLS or QUIC. `arrivals` counts what `io` reads.
    pub fn stream(io: BoxIo, arrivals: Arrivals) -> Pipe {
        Pipe { inner: Inner::Stream(Box::new(Framed::new(io, BytesCodec::new()))), arrivals }
    }

    /// A WebSocket whose binary messages are the chunks.
    pub fn websocket(socket: WebSocketStream<BoxIo>, arrivals: Arrivals) -> Pipe {
        Pipe { inner: Inner::WebSocket(Box::new(socket)), arrivals }
    }

    /// Bytes that have arrived, those of a chunk that is not whole yet included.
    pub fn arrived(&self) -> u64 {
        self.arrivals.bytes()
    }

    /// The next chunk.
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Ended>> {
        match &mut self.inner {
            Inner::Stream(stream) => match ready!(Pin::new(stream).poll_next(context)) {
                Some(Ok(chunk)) => Poll::Ready(Ok(chunk.freeze())),
                Some(Err(error)) => Poll::Ready(Err(broken(error))),
                None => Poll::Ready(Err(Ended::Eof)),
            },
            Inner::WebSocket(socket) => loop {
                match ready!(Pin::new(&mut *socket).poll_next(context)) {
                    Some(message) => match chunk(message) {
                        Ok(None) => {}
                        Ok(Some(chunk)) => return Poll::Ready(Ok(chunk)),
                        Err(ended) => return Poll::Ready(Err(ended)),
                    },
                    None => return Poll::Ready(Err(Ended::Eof)),
                }
            },
        }
    }

    /// Whether a chunk may be passed to [`Pipe::start`].
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        match &mut self.inner {
            Inner::Stream(stream) => Sink::<Bytes>::poll_ready(Pin::new(stream), context).map_err(broken),
            Inner::WebSocket(socket) => Pin::new(socket).poll_ready(context).map_err(websocket),
        }
    }

    /// Takes a chunk to write.
    pub fn start(&mut self, chunk: Bytes) -> Result<(), Ended> {
        match &mut self.inner {
            Inner::Stream(stream) => Pin::new(stream).start_send(chunk).map_err(broken),
            Inner::WebSocket(socket) => {
                Pin::new(socket).start_send(Message::Binary(chunk)).map_err(websocket)
            }
        }
    }

    /// Writes what was taken.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        match &mut self.inner {
            Inner::Stream(stream) => Sink::<Bytes>::poll_flush(Pin::new(stream), context).map_err(broken),
            Inner::WebSocket(socket) => Pin::new(socket).poll_flush(context).map_err(websocket),
        }
    }

    /// Writes what was taken and ends this direction.
    pub fn poll_close(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        match &mut self.inner {
            Inner::Stream(stream) => Sink::<Bytes>::poll_close(Pin::new(stream), context).map_err(broken),
            Inner::WebSocket(socket) => Pin::new(socket).poll_close(context).map_err(websocket),
        }
    }
}

fn chunk(message: Result<Message, Error>) -> Result<Option<Bytes>, Ended> {
    match message.map_err(websocket)? {
        Message::Binary(chunk) => Ok(Some(chunk)),
        Message::Text(_) => Err(broken(io::Error::other("the server sent a text message"))),
        Message::Close(Some(close)) => match u16::from(close.code).checked_sub(4000) {
            Some(code) => Err(Ended::Code(u32::from(code), close.reason.as_str().to_owned())),
            None => Err(Ended::Eof),
        },
        Message::Close(None) => Err(Ended::Eof),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => Ok(None),
    }
}

fn websocket(error: Error) -> Ended {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Ended::Eof,
        Error::Io(error) => broken(error),
        error => broken(io::Error::other(error)),
    }
}

fn broken(error: io::Error) -> Ended {
    match quic::close_code(&error) {
        // 0 is an end in order; the codes of the catalogue start at 100.
        Some((0, _)) => Ended::Eof,
        Some((code, reason)) => Ended::Code(code, reason),
        None => Ended::Broken(error),
    }
}
