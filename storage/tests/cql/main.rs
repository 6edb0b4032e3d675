//! The CQL backend on a real cluster: `./test cql`.
//!
//! | file | noun |
//! |---|---|
//! | `cluster` | the cluster that tests share, with a keyspace of this run |
//! | `salted` | tables that look empty on a cluster that others use too |
//! | `contract` | the suite that every backend passes |
//! | `poison` | rows that nobody of ours has written |
//! | `facts` | what the backend takes for granted of the server |
//! | `same` | the tables in memory answer as the real ones do |
//! | `schema` | migrations, and what `open` says of other schemas |
//! | `tools` | a tenant is copied there and back, and checked |
//! | `trouble` | clusters of their own: refused users, stalls, crashes, lost nodes |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod cluster;
mod contract;
mod facts;
mod poison;
mod salted;
mod same;
mod schema;
mod tools;
mod trouble;
