//! What a link's bytes travel on: TCP, or any other stream.

use std::fmt::Debug;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection under way.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Connects to nodes.
pub trait Dial: Debug + Send + Sync + 'static {
    /// Makes a connection to `address` (`host:port`). Fails as the network does.
    fn dial<'a>(&'a self, address: &'a str) -> Dialling<'a>;
}

/// Over TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, address: &'a str) -> Dialling<'a> {
        Box::pin(async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(Box::new(socket) as Box<dyn Stream>)
        })
    }
}

/// Where the links of a node have the names of their sessions and the lengths of their waits from. Copies draw from one
/// source, so no two sessions of a node have one name.
#[derive(Clone, Debug)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Default for Chance {
    /// The machine's.
    fn default() -> Chance {
        Chance(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }
}

impl Chance {
    /// One that draws the same from the same seed.
    pub fn seeded(seed: u64) -> Chance {
        Chance(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Any number.
    pub(super) fn number(&self) -> u64 {
        self.0.lock().random()
    }

    /// At least half as long, and shorter.
    pub(super) fn part_of(&self, wait: std::time::Duration) -> std::time::Duration {
        self.0.lock().random_range(wait / 2..wait)
    }
}
