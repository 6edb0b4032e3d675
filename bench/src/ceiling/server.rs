//! A server that knows of nothing but sockets: what a sender writes goes to its receiver and back, what the speaker
//! writes goes to every listener, one write a frame.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, bail};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use super::wire::{HELLO_BYTES, Kind, READY, read_hello};

const EVENTS: usize = 512;
const READ_BYTES: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;
const STDIN: u64 = u64::MAX - 1;
const BACKLOG: i32 = 4_096;

/// Serves until stdin ends.
pub fn run(bytes: usize, announce: impl FnOnce(SocketAddr) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut server = Server::new(bytes)?;
    announce(server.listener.local_addr()?)?;
    while server.turn()? {}
    Ok(())
}

struct Server {
    listener: TcpListener,
    epoll: OwnedFd,
    /// By descriptor.
    peers: Vec<Option<Peer>>,
    listeners: Vec<usize>,
    senders: HashMap<u32, usize>,
    receivers: HashMap<u32, usize>,
    frame: usize,
    /// The front of the speaker's next frame.
    rest: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
}

struct Peer {
    socket: OwnedFd,
    kind: Option<Kind>,
    number: u32,
    /// Where a sender's and a receiver's bytes go.
    other: Option<usize>,
}

impl Server {
    fn new(frame: usize) -> anyhow::Result<Server> {
        let listener = listen()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, std::io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        Ok(Server {
            listener,
            epoll,
            peers: Vec::new(),
            listeners: Vec::new(),
            senders: HashMap::new(),
            receivers: HashMap::new(),
            frame,
            rest: Vec::new(),
            buffer: vec![0; READ_BYTES],
            events: vec![nothing; EVENTS],
        })
    }

    /// False once stdin has ended.
    fn turn(&mut self) -> anyhow::Result<bool> {
        let mut events = std::mem::take(&mut self.events);
        let count = match epoll::wait(&self.epoll, &mut events[..], None) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut goes_on = true;
        for event in &events[..count] {
            let data = event.data;
            match data.u64() {
                STDIN => goes_on = false,
                LISTENER => self.accept()?,
                at => self.readable(at as usize)?,
            }
        }
        self.events = events;
        Ok(goes_on)
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        loop {
            let socket = match rustix::net::accept_with(&self.listener, accept_flags()) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error).context("the ceiling cannot accept"),
            };
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            let at = std::os::fd::AsRawFd::as_raw_fd(&socket) as usize;
            epoll::add(&self.epoll, &socket, EventData::new_u64(at as u64), EventFlags::IN)?;
            if self.peers.len() <= at {
                self.peers.resize_with(at + 1, || None);
            }
            self.peers[at] = Some(Peer { socket, kind: None, number: 0, other: None });
        }
    }

    fn readable(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(Some(peer)) = self.peers.get(at) else { return Ok(()) };
        let most = if peer.kind.is_none() { HELLO_BYTES } else { READ_BYTES };
        let length = match rustix::net::recv(&peer.socket, &mut self.buffer[..most], RecvFlags::empty()) {
            Ok((0, _)) | Err(Errno::CONNRESET) => {
                self.remove(at);
                return Ok(());
            }
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        match (peer.kind, peer.other) {
            (None, _) => self.hello(at, length),
            (Some(Kind::Sender | Kind::Receiver), Some(other)) => self.pass_on(other, length),
            (Some(Kind::Speaker), _) => self.repeat(length),
            _ => Ok(()),
        }
    }

    fn hello(&mut self, at: usize, length: usize) -> anyhow::Result<()> {
        let hello = self.buffer[..length].try_into().ok().and_then(read_hello);
        let Some((kind, number)) = hello else { bail!("a hello that nobody knows") };
        match kind {
            Kind::Listener => self.listeners.push(at),
            Kind::Sender => _ = self.senders.insert(number, at),
            Kind::Receiver => _ = self.receivers.insert(number, at),
            Kind::Idle | Kind::Speaker => {}
        }
        let pair = self.senders.get(&number).copied().zip(self.receivers.get(&number).copied());
        if let (Kind::Sender | Kind::Receiver, Some((sender, receiver))) = (kind, pair) {
            self.pair(sender, receiver);
        }
        if let Some(peer) = &mut self.peers[at] {
            (peer.kind, peer.number) = (Some(kind), number);
            write_all(&peer.socket, &[READY])?;
        }
        Ok(())
    }

    fn pair(&mut self, sender: usize, receiver: usize) {
        for (one, other) in [(sender, receiver), (receiver, sender)] {
            if let Some(Some(peer)) = self.peers.get_mut(one) {
                peer.other = Some(other);
            }
        }
    }

    fn pass_on(&mut self, other: usize, length: usize) -> anyhow::Result<()> {
        match self.peers.get(other) {
            Some(Some(peer)) => write_all(&peer.socket, &self.buffer[..length]),
            _ => Ok(()),
        }
    }

    /// Every whole frame goes to every listener, each in a write of its own.
    fn repeat(&mut self, length: usize) -> anyhow::Result<()> {
        self.rest.extend_from_slice(&self.buffer[..length]);
        let whole = self.rest.len() / self.frame * self.frame;
        for frame in self.rest[..whole].chunks(self.frame) {
            for at in &self.listeners {
                if let Some(Some(peer)) = self.peers.get(*at) {
                    write_all(&peer.socket, frame)?;
                }
            }
        }
        self.rest.drain(..whole);
        Ok(())
    }

    fn remove(&mut self, at: usize) {
        let Some(peer) = self.peers.get_mut(at).and_then(Option::take) else { return };
        match peer.kind {
            Some(Kind::Listener) => self.listeners.retain(|listener| *listener != at),
            Some(Kind::Sender) => _ = self.senders.remove(&peer.number),
            Some(Kind::Receiver) => _ = self.receivers.remove(&peer.number),
            _ => {}
        }
    }
}

pub fn listen() -> anyhow::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

pub fn accept_flags() -> SocketFlags {
    SocketFlags::NONBLOCK | SocketFlags::CLOEXEC
}

/// Writes all of it. What is under way is bounded by the generator, so the socket takes it soon.
pub fn write_all(socket: &OwnedFd, mut bytes: &[u8]) -> anyhow::Result<()> {
    while !bytes.is_empty() {
        match rustix::net::send(socket.as_fd(), bytes, SendFlags::NOSIGNAL) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::AGAIN) => std::thread::yield_now(),
            Err(Errno::INTR) => {}
            // Told by the poll, too.
            Err(Errno::PIPE | Errno::CONNRESET) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
