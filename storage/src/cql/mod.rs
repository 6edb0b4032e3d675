//! The backend on Scylla or Cassandra.

pub mod driver;
pub mod tables;
