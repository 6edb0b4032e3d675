//! What this node has done since it started.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counters of one node; each only rises.
        #[derive(Debug, Default)]
        pub struct Metrics { $($(#[doc = $doc])+ pub $name: Counter,)+ }

        /// The counters at one moment; not an atomic cut over all of them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Snapshot { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Metrics {
            /// Reads every counter.
            pub fn snapshot(&self) -> Snapshot {
                Snapshot { $($name: self.$name.get(),)+ }
            }
        }

        impl Snapshot {
            /// Name, meaning and value of every counter.
            pub fn list(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name),)+]
            }
        }
    };
}

counters! {
    /// Logins admitted.
    logins,
    /// Logins refused or failed.
    logins_refused,
    /// Sessions that connectors told again after a change of nodes.
    announced,
    /// Connections closed because their device connected again.
    superseded,
    /// Connections closed, and logins refused, because the user has too many devices of a type.
    device_limit,
    /// Logins put off because the device displaces itself again and again.
    duels,
    /// Device requests taken.
    requests,
    /// Device requests refused because a queue was full or the node shuts down.
    requests_shed,
    /// Sync requests answered.
    syncs,
    /// Entries sent in answers to Sync.
    synced_entries,
    /// Pushes that other channel nodes have handed over for users of this one.
    peer_pushes,
    /// Presence changes pushed, one per watched user.
    presence_changes,
    /// Pauses made because enough devices were told of presence at once.
    presence_pauses,
    /// Presence changes handed to the stream.
    presence_recorded,
    /// Times the presence stream could not be written.
    presence_delays,
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
