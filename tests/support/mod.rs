//! What the tests on real processes share.
//!
//! | file | noun |
//! |---|---|
//! | `process` | a gateway process: started, killed and started again on the same data |
//! | `keyspace` | a store in a real cluster |
//! | `tokens` | signed tokens for any user, also bad ones |
//! | `raw` | a device that speaks bytes, for what no SDK would do |
//! | `http` | one HTTP request |
//! | `browser` | a real browser, driven over WebDriver |
//! | `room` | a conversation whose history is recorded |
//! | `device` | a device on the Rust SDK whose doings are recorded |
//! | `history` | what happened in a run |
//! | `checker` | the invariants, as functions over a history |
//! | `proxy`, `netns` | bad networks: a proxy that cuts, delays and swallows; a network namespace |
//! | `disk`, `clock` | bad disks: full, failing, stalling; a wrong wall clock |
//! | `preload` | libraries in front of the program's C library, for both |
//! | `balancer` | what devices connect to in front of several connectors |
//! | `fleet` | thousands of devices that keep themselves connected |
//! | `usage`, `metrics` | what a process uses; what a gateway counts |

#[allow(dead_code, reason = "not every test has several connectors")]
pub mod balancer;
pub mod browser;
#[allow(dead_code, reason = "only the simulation sees inside the gateway")]
pub mod checker;
#[allow(dead_code, reason = "not every test has a wrong clock")]
pub mod clock;
pub mod device;
#[allow(dead_code, reason = "not every test has a bad disk")]
pub mod disk;
#[allow(dead_code, reason = "not every test has a fleet")]
pub mod fleet;
#[allow(dead_code, reason = "only the simulation sees inside the gateway")]
pub mod history;
pub mod http;
#[allow(dead_code, reason = "not every test has a store in a cluster")]
pub mod keyspace;
#[allow(dead_code, reason = "not every test measures")]
pub mod metrics;
#[allow(dead_code, reason = "not every test has a network of its own")]
pub mod netns;
#[allow(dead_code, reason = "not every test has a bad machine")]
pub mod preload;
pub mod process;
#[allow(dead_code, reason = "not every test has a bad network")]
pub mod proxy;
pub mod raw;
#[allow(dead_code, reason = "not every test records")]
pub mod room;
pub mod tokens;
#[allow(dead_code, reason = "not every test measures")]
pub mod usage;

use std::time::Duration;

/// How long anything may take that should be immediate. Long, so that a busy machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must come.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A client_msg_id that no other call returns.
pub fn fresh_id() -> history::MsgId {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [0; 16];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    id[8..].copy_from_slice(&rand::random::<[u8; 8]>());
    id
}
