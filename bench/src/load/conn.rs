//! One device's connection.

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::layer::Layer;
use super::speech::Device;

/// Most bytes that wait to be written: past them the server is taken not to keep up with the rate.
pub const MOST_WAITING: usize = 8 * 1024 * 1024;

pub struct Conn {
    pub device: Device,
    pub link: Link,
    pub state: State,
    /// Bytes that are no whole unit yet.
    pub inbox: Vec<u8>,
    /// Bytes, sealed, that have not been written.
    pub outbox: Vec<u8>,
    /// Among those to be flushed at the end of the turn.
    pub dirty: bool,
    /// The poll waits until it can be written to.
    pub waits: bool,
    /// How often it was sent away: each time it tries the next address.
    pub sent_away: usize,
}

pub enum Link {
    None,
    Socket { socket: OwnedFd, layer: Layer },
    Quic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Closed,
    /// The socket is under way, or the layer upon it.
    Connecting,
    /// The speech has begun.
    Greeting,
    Ready,
}

impl Conn {
    pub fn new(device: Device) -> Conn {
        Conn {
            device,
            link: Link::None,
            state: State::Closed,
            inbox: Vec::new(),
            outbox: Vec::new(),
            dirty: false,
            waits: false,
            sent_away: 0,
        }
    }

    /// Takes bytes of the speech to be written.
    pub fn say(&mut self, plain: &[u8]) -> anyhow::Result<()> {
        match &mut self.link {
            Link::Socket { layer, .. } => layer.seal(plain, &mut self.outbox),
            Link::Quic | Link::None => {
                self.outbox.extend_from_slice(plain);
                Ok(())
            }
        }
    }

    /// Writes what the socket takes.
    pub fn write(&mut self) -> Result<(), Errno> {
        let Link::Socket { socket, .. } = &self.link else { return Ok(()) };
        let mut written = 0;
        let end = loop {
            if written == self.outbox.len() {
                break Ok(());
            }
            match rustix::net::send(socket, &self.outbox[written..], rustix::net::SendFlags::NOSIGNAL) {
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.outbox.drain(..written);
        if self.outbox.is_empty() && self.outbox.capacity() > 16 * 1024 {
            self.outbox = Vec::new();
        }
        end
    }

    /// Forgets the connection, not the device.
    pub fn cut(&mut self) {
        self.link = Link::None;
        self.state = State::Closed;
        self.inbox = Vec::new();
        self.outbox = Vec::new();
        self.waits = false;
    }
}
