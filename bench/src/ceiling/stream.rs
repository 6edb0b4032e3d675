//! Frames pushed to all listeners as fast as their sockets take them, a batch of frames a write.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::server::{accept_flags, listen, write_all};
use super::wire::{HELLO_BYTES, READY};
use crate::load::STAMP_BYTES;

const EVENTS: usize = 1_024;
const STDIN: u64 = u64::MAX;
/// How long a turn waits where every socket is full.
const FULL_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

struct Listener {
    socket: OwnedFd,
    /// Bytes of the batch that have been written.
    written: usize,
    full: bool,
}

/// Waits for so many listeners, then pushes until stdin ends.
pub fn run(
    bytes: usize,
    batch: usize,
    listeners: usize,
    announce: impl FnOnce(SocketAddr) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let socket = listen()?;
    announce(socket.local_addr()?)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut all = gather(&socket, listeners)?;
    for (at, listener) in all.iter().enumerate() {
        let flags = EventFlags::OUT | EventFlags::ET;
        epoll::add(&epoll, &listener.socket, EventData::new_u64(at as u64), flags)?;
    }
    epoll::add(&epoll, std::io::stdin(), EventData::new_u64(STDIN), EventFlags::IN)?;
    let frames = frames(bytes, batch);
    let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
    let mut events = vec![nothing; EVENTS];
    loop {
        let mut wrote = false;
        for listener in all.iter_mut().filter(|listener| !listener.full) {
            wrote = true;
            listener.push(&frames)?;
        }
        let timeout = if wrote { NO_WAIT } else { FULL_WAIT };
        let count = match epoll::wait(&epoll, &mut events[..], Some(&timeout)) {
            Err(Errno::INTR) => 0,
            other => other?,
        };
        for event in &events[..count] {
            let data = event.data;
            match data.u64() {
                STDIN => return Ok(()),
                at => all[at as usize].full = false,
            }
        }
    }
}

/// Frames that are numbered from 1, as they lie in one write.
fn frames(bytes: usize, batch: usize) -> Vec<u8> {
    let mut frames = vec![b'x'; bytes * batch];
    for (number, frame) in (1..).zip(frames.chunks_mut(bytes)) {
        let number: u64 = number;
        frame[..8].fill(0);
        frame[8..STAMP_BYTES].copy_from_slice(&number.to_be_bytes());
    }
    frames
}

fn gather(socket: &TcpListener, listeners: usize) -> anyhow::Result<Vec<Listener>> {
    socket.set_nonblocking(false)?;
    let mut all = Vec::with_capacity(listeners);
    while all.len() < listeners {
        let accepted = rustix::net::accept_with(socket, accept_flags())?;
        rustix::net::sockopt::set_tcp_nodelay(&accepted, true)?;
        let mut hello = [0; HELLO_BYTES];
        while rustix::net::recv(&accepted, &mut hello[..], RecvFlags::empty()) == Err(Errno::AGAIN) {
            std::thread::yield_now();
        }
        write_all(&accepted, &[READY])?;
        all.push(Listener { socket: accepted, written: 0, full: false });
    }
    Ok(all)
}

impl Listener {
    fn push(&mut self, frames: &[u8]) -> anyhow::Result<()> {
        match rustix::net::send(&self.socket, &frames[self.written..], SendFlags::NOSIGNAL) {
            Ok(written) => {
                self.written += written;
                self.full = self.written < frames.len();
                if !self.full {
                    self.written = 0;
                }
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR | Errno::PIPE | Errno::CONNRESET) => {
                self.full = true;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
