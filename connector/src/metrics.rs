//! What a connector counts.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters, raised with relaxed ordering.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $doc])+ pub $name: Counter,)+ }

        impl Metrics {
            /// Name, meaning and value of every counter.
            pub fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name.get()),)+]
            }
        }
    };
}

counters! {
    /// Connections accepted on any transport.
    accepted,
    /// Connections refused because the connector is full.
    refused_full,
    /// HTTP connections refused because as many as may be were being answered.
    refused_http,
    /// Devices logged in.
    logins,
    /// Devices that resumed their session.
    resumed,
    /// Pushes read again from the log, to be repeated or replayed.
    resent,
    /// Sessions that no device came back for.
    expired,
    /// Logins refused, whatever the reason.
    logins_refused,
    /// Connections that ended after login.
    ended,
    /// Requests handed to channel nodes.
    requests,
    /// Requests refused because a link was full or closed.
    requests_refused,
    /// Pushes handed to sessions.
    pushes,
    /// Pushes for a session that is not here any more.
    pushes_missed,
    /// Heads handed to sessions because what they tell had not arrived, or had come from an earlier owner.
    heads,
    /// Frames received after login.
    frames_in,
    /// Frames written after login.
    frames_out,
    /// Writes that took them: each has what waited for a device, at most 32 KiB and a frame.
    writes,
    /// Bytes written after login.
    bytes_out,
}

impl Metrics {
    /// Frames were offered to a transport in one write.
    pub(crate) fn wrote(&self, frames: usize, bytes: usize) {
        self.frames_out.add(frames as u64);
        self.writes.add(1);
        self.bytes_out.add(bytes as u64);
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
