//! A TLS session on a stream. It holds bytes only while a record is not whole, or while somebody does not take what is
//! there: an idle connection keeps the session's keys and no buffer.
//!
//! rustls's own buffered connection keeps 4 KiB for reading as long as it lives; here its unbuffered session gets the
//! bytes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// Bytes of a handshake that are read at once.
const READ_BYTES: usize = 4 * 1024;
/// Most bytes of one record.
const RECORD_BYTES: usize = 16 * 1024;

/// The server's side of a TLS connection, driven by one task.
pub struct TlsStream<S> {
    io: S,
    session: UnbufferedServerConnection,
    /// Bytes of records that are not whole.
    incoming: Vec<u8>,
    /// What the peer has said and nobody has read.
    plain: Vec<u8>,
    /// Sealed bytes that the stream has not taken.
    outgoing: Vec<u8>,
    /// The peer has said that it says nothing more.
    peer_closed: bool,
    /// And so have we.
    closed: bool,
    /// The peer has broken the protocol: nothing more is taken from it or said to it.
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// Does the handshake.
    ///
    /// # Errors
    /// If the stream ends or fails, or the peer does not speak TLS as `config` wants it; it is told so.
    pub async fn accept(config: Arc<ServerConfig>, io: S) -> io::Result<TlsStream<S>> {
        let session = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = TlsStream {
            io,
            session,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            peer_closed: false,
            closed: false,
            broken: false,
        };
        while stream.session.is_handshaking() {
            let mut bytes = vec![0; READ_BYTES];
            let length = stream.io.read(&mut bytes).await?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let heard = stream.hear(&bytes[..length]);
            if heard.is_err() || stream.session.is_handshaking() {
                stream.io.write_all(&std::mem::take(&mut stream.outgoing)).await?;
            }
            heard?;
        }
        // What is left to say goes with what comes next: nobody waits here for a peer that does not read yet.
        Ok(stream)
    }
}

/// Shows neither keys nor what was said.
impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").finish_non_exhaustive()
    }
}

impl<S> TlsStream<S> {
    /// The protocol that both ends have chosen.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.alpn_protocol()
    }

    /// Takes bytes from the peer; what they say stands in `plain` then, what has to be said to them in `outgoing`.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.incoming.extend_from_slice(bytes);
        let mut used = 0;
        let result = loop {
            let UnbufferedStatus { discard, state } =
                self.session.process_tls_records(&mut self.incoming[used..]);
            let goes_on = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        self.plain.extend_from_slice(record.payload);
                    }
                    Ok(true)
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    append(&mut self.outgoing, |room| data.encode(room)).map(|()| true)
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    // It stands in `outgoing`, and goes in order.
                    data.done();
                    Ok(true)
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.peer_closed = true;
                    Ok(true)
                }
                // No early data is taken, and whatever else there may be waits for more bytes.
                Ok(_) => Ok(false),
                Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            };
            used += discard;
            match goes_on {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.incoming.drain(..used);
        if result.is_err() {
            self.broken = true;
            self.say_why();
            self.incoming.clear();
        }
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        result
    }

    /// The alert that says so is what a broken session has left to say.
    fn say_why(&mut self) {
        while self.session.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(mut alert)) =
                self.session.process_tls_records(&mut self.incoming).state
        {
            if append(&mut self.outgoing, |room| alert.encode(room)).is_err() {
                return;
            }
        }
    }

    /// Seals something, once nothing else of the session is to be said.
    fn seal(
        &mut self,
        mut seal: impl FnMut(&mut WriteTraffic<'_>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        match self.session.process_tls_records(&mut self.incoming).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                append(&mut self.outgoing, |room| seal(&mut traffic, room))
            }
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

type WriteTraffic<'c> = rustls::unbuffered::WriteTraffic<'c, rustls::server::ServerConnectionData>;

/// An error that may say how many bytes are needed.
trait Wants: std::error::Error + Send + Sync + 'static {
    fn wants(&self) -> Option<usize>;
}

impl Wants for EncodeError {
    fn wants(&self) -> Option<usize> {
        match self {
            EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            _ => None,
        }
    }
}

impl Wants for EncryptError {
    fn wants(&self) -> Option<usize> {
        match self {
            EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            _ => None,
        }
    }
}

/// Appends what `write` writes, with as much room as it wants.
fn append<E: Wants>(
    out: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let start = out.len();
    let written = match write(&mut []) {
        Err(error) if error.wants().is_some() => {
            out.resize(start + error.wants().unwrap_or_default(), 0);
            write(&mut out[start..])
        }
        result => result,
    };
    out.truncate(start + *written.as_ref().unwrap_or(&0));
    written.map(drop).map_err(io::Error::other)
}

impl<S: AsyncWrite + Unpin> TlsStream<S> {
    /// Writes until nothing sealed is left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let result = loop {
            if sent == self.outgoing.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.io).poll_write(cx, &self.outgoing[sent..]) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(more)) => sent += more,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.outgoing.drain(..sent);
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // What cannot be sent is an error of the next write.
        let _ = this.poll_send(cx);
        if this.broken {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        while this.plain.is_empty() && !this.peer_closed && buf.remaining() > 0 {
            // Where the plain bytes go there is room for the sealed ones, too.
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let sealed = &buf.filled()[before..];
            if sealed.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let heard = this.hear(sealed);
            buf.set_filled(before);
            let _ = this.poll_send(cx);
            heard?;
        }
        let length = this.plain.len().min(buf.remaining());
        buf.put_slice(&this.plain[..length]);
        this.plain.drain(..length);
        if this.plain.is_empty() {
            this.plain = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let part = &buf[..buf.len().min(RECORD_BYTES)];
        if part.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.seal(|traffic, room| traffic.encrypt(part, room))?;
        match self.poll_send(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(part.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closed, true) {
            // Who is broken has nothing to say.
            let _ = self.seal(|traffic, room| traffic.queue_close_notify(room));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "tls_stream_tests.rs"]
mod tests;
