//! What a gateway does to the world around it, in order: the only way out of its runtime.

use std::sync::Arc;

use parking_lot::Mutex;
use storage::presence::EventPage;
use tokio::sync::Notify;

use crate::coordinator::Act;
use crate::jobs::Job;
use crate::socket::Plug;
use crate::support::history::Op;
use crate::wires::Made;

/// One thing that a gateway did.
pub enum Out {
    Job(Job),
    /// Bytes stand in the socket's send buffer.
    Wrote(Plug),
    /// The socket was shut down for writing.
    Shut(Plug),
    /// The socket was dropped.
    Closed(Plug),
    /// A login: which connection has which epoch of which device.
    Admitted {
        conn: usize,
        device: u64,
        epoch: u64,
    },
    /// A part of a tenant's presence stream, as the backend asked for.
    Stream {
        op: Op,
        after: u64,
        limit: usize,
        page: EventPage,
    },
    /// The gateway has drained; so many connections were left, and whether all requests were finished.
    Drained(usize, usize, bool),
    /// What coordinates the cluster is asked for something.
    Asks(Act),
    /// A node dials another one.
    Dials(String, Made),
    /// The gateway is up.
    Booted(usize),
    /// The gateway could not start.
    BootFailed(usize),
}

/// Collects what one gateway did, and wakes the world.
#[derive(Default)]
pub struct Hub {
    state: Mutex<State>,
    pub notify: Notify,
}

#[derive(Default)]
struct State {
    out: Vec<Out>,
    dead: bool,
}

impl Hub {
    pub fn new() -> Arc<Hub> {
        Arc::default()
    }

    pub fn put(&self, out: Out) {
        let mut state = self.state.lock();
        if !state.dead {
            state.out.push(out);
            self.notify.notify_one();
        }
    }

    pub fn take(&self) -> Vec<Out> {
        std::mem::take(&mut self.state.lock().out)
    }

    /// Nothing comes out of a dead process.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.dead = true;
        state.out.clear();
    }
}
