//! Real Cassandra and ZooKeeper servers for tests. Nothing but tests uses this crate.
//!
//! | file | noun |
//! |---|---|
//! | [`cassandra`] | a Cassandra cluster of one to three nodes on 127.0.0.1–3 |
//! | [`zookeeper`] | a ZooKeeper server or ensemble |
//! | [`shared`] | the servers that all tests of a run may use together |
//! | `java` | one server process: started, stalled, killed, started again |
//! | `guard` | sees to it that no server outlives the program that started it |
//! | `port` | ports that no other test takes |
//! | `fetched` | the servers' program files, which `./test servers` fetches |
//! | [`error`] | why a server does not run |
//!
//! A server gets a directory of its own under the temporary directory, which goes with it, and ports that are free.

pub mod cassandra;
pub mod error;
mod fetched;
mod guard;
mod java;
mod port;
pub mod shared;
pub mod zookeeper;

pub use cassandra::{Cassandra, CassandraSettings};
pub use error::ServerError;
pub use zookeeper::{ZooKeeper, ZooKeeperSettings};
