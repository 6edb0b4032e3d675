//! QUIC connections of one process over one UDP socket: the protocol's state machine without a runtime.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::BytesMut;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, EndpointConfig, Event,
    StreamEvent, StreamId, TransportConfig, VarInt,
};

/// Longest datagram that is received.
const MOST_DATAGRAM: usize = 64 * 1024;
/// How often connections are asked whether a timer of theirs is due.
const TIMERS_EVERY: Duration = Duration::from_millis(10);
/// A connection without any answer for this long is dead.
const IDLE_TIMEOUT_MS: u32 = 60_000;
/// The UDP socket's buffers: many connections share it.
const SOCKET_BUFFER: usize = 8 * 1024 * 1024;

pub struct Quic {
    socket: UdpSocket,
    endpoint: Endpoint,
    config: ClientConfig,
    links: HashMap<ConnectionHandle, Link>,
    handles: HashMap<usize, ConnectionHandle>,
    timers_at: Instant,
    datagram: Vec<u8>,
}

struct Link {
    connection: Connection,
    at: usize,
    stream: Option<StreamId>,
}

/// What has become of the connection at a place.
pub enum Happening {
    /// Its stream is open.
    Opened(usize),
    Data(usize, Vec<u8>),
    /// It takes bytes again.
    Writable(usize),
    Lost(usize, String),
}

impl Quic {
    pub fn new(tls: Arc<rustls::ClientConfig>) -> anyhow::Result<Quic> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
        socket.set_recv_buffer_size(SOCKET_BUFFER)?;
        socket.set_send_buffer_size(SOCKET_BUFFER)?;
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], 0)).into())?;
        socket.set_nonblocking(true)?;
        let mut transport = TransportConfig::default();
        transport.max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()));
        transport.keep_alive_interval(Some(Duration::from_secs(20)));
        let mut config =
            ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).context("TLS for QUIC")?));
        config.transport_config(Arc::new(transport));
        Ok(Quic {
            socket: socket.into(),
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None),
            config,
            links: HashMap::new(),
            handles: HashMap::new(),
            timers_at: Instant::now(),
            datagram: vec![0; MOST_DATAGRAM],
        })
    }

    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Sets a connection for this place under way.
    pub fn dial(
        &mut self,
        at: usize,
        server: SocketAddr,
        host: &str,
        happened: &mut Vec<Happening>,
    ) -> anyhow::Result<()> {
        let (handle, connection) =
            self.endpoint.connect(Instant::now(), self.config.clone(), server, host)?;
        self.links.insert(handle, Link { connection, at, stream: None });
        self.handles.insert(at, handle);
        self.drive(handle, happened);
        Ok(())
    }

    /// Takes every datagram that has come.
    pub fn receive(&mut self, happened: &mut Vec<Happening>) -> anyhow::Result<()> {
        loop {
            let (length, from) = match self.socket.recv_from(&mut self.datagram) {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("QUIC"),
            };
            let (data, mut answer) = (BytesMut::from(&self.datagram[..length]), Vec::new());
            let event = self.endpoint.handle(Instant::now(), from, None, None, data, &mut answer);
            match event {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(link) = self.links.get_mut(&handle) {
                        link.connection.handle_event(event);
                        self.drive(handle, happened);
                    }
                }
                Some(DatagramEvent::Response(transmit)) => {
                    self.send(&answer[..transmit.size], transmit.destination);
                }
                Some(DatagramEvent::NewConnection(_)) | None => {}
            }
        }
    }

    /// Fires what is due.
    pub fn timers(&mut self, happened: &mut Vec<Happening>) {
        let now = Instant::now();
        if now < self.timers_at {
            return;
        }
        self.timers_at = now + TIMERS_EVERY;
        let due = |(handle, link): (&ConnectionHandle, &mut Link)| {
            link.connection.poll_timeout().filter(|at| *at <= now).map(|_| *handle)
        };
        let due: Vec<ConnectionHandle> = self.links.iter_mut().filter_map(due).collect();
        for handle in due {
            if let Some(link) = self.links.get_mut(&handle) {
                link.connection.handle_timeout(now);
            }
            self.drive(handle, happened);
        }
    }

    /// How many of these bytes the connection takes.
    pub fn write(&mut self, at: usize, bytes: &[u8], happened: &mut Vec<Happening>) -> usize {
        let Some(handle) = self.handles.get(&at).copied() else { return 0 };
        let Some(link) = self.links.get_mut(&handle) else { return 0 };
        let Some(stream) = link.stream else { return 0 };
        let mut written = 0;
        while written < bytes.len() {
            match link.connection.send_stream(stream).write(&bytes[written..]) {
                Ok(more) => written += more,
                // Blocked: it says when it takes more. What is lost is told by an event.
                Err(_) => break,
            }
        }
        self.drive(handle, happened);
        written
    }

    pub fn cut(&mut self, at: usize) {
        let Some(handle) = self.handles.remove(&at) else { return };
        if let Some(link) = self.links.get_mut(&handle) {
            link.connection.close(Instant::now(), VarInt::from_u32(0), bytes::Bytes::new());
        }
        self.drive(handle, &mut Vec::new());
    }

    /// Everything that a connection wants after something has happened to it.
    fn drive(&mut self, handle: ConnectionHandle, happened: &mut Vec<Happening>) {
        let Some(link) = self.links.get_mut(&handle) else { return };
        link.events(happened);
        let mut gone = false;
        while let Some(event) = link.connection.poll_endpoint_events() {
            gone |= event.is_drained();
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                link.connection.handle_event(event);
            }
        }
        let mut packet = Vec::new();
        while let Some(transmit) = link.connection.poll_transmit(Instant::now(), 1, &mut packet) {
            // A datagram that the socket does not take is lost like any other.
            let _ = self.socket.send_to(&packet[..transmit.size], transmit.destination);
            packet.clear();
        }
        if gone {
            self.links.remove(&handle);
        }
    }

    fn send(&self, packet: &[u8], to: SocketAddr) {
        // As above.
        let _ = self.socket.send_to(packet, to);
    }
}

impl Link {
    fn events(&mut self, happened: &mut Vec<Happening>) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => {
                    self.stream = self.connection.streams().open(Dir::Bi);
                    happened.push(Happening::Opened(self.at));
                }
                Event::ConnectionLost { reason } => {
                    happened.push(Happening::Lost(self.at, reason.to_string()))
                }
                Event::Stream(StreamEvent::Readable { id }) => {
                    if let Some(data) = self.read(id) {
                        happened.push(Happening::Data(self.at, data));
                    }
                }
                Event::Stream(StreamEvent::Writable { .. }) => happened.push(Happening::Writable(self.at)),
                Event::Stream(StreamEvent::Finished { .. } | StreamEvent::Stopped { .. }) => {
                    happened.push(Happening::Lost(self.at, "the server ended the stream".into()));
                }
                _ => {}
            }
        }
    }

    fn read(&mut self, stream: StreamId) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        let mut received = self.connection.recv_stream(stream);
        let mut chunks = received.read(true).ok()?;
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            data.extend_from_slice(&chunk.bytes);
        }
        // What this says, that there is something to transmit, is looked at after every event.
        let _ = chunks.finalize();
        Some(data)
    }
}
