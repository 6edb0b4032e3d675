//! The pure core of a conversation.
//!
//! | file | what it holds the core to |
//! |---|---|
//! | `rules` | each rule about sends and outcomes by an example |
//! | `relations` | each rule about replies, edits and recalls by an example |
//! | `people` | each rule about members, signals and cursors by an example |
//! | `chaos` | the invariants, under random requests, retries and outcomes |
//! | `reference` | a sequential model that answers the same requests at once |
//! | `support` | a log in memory, and the core's other half |
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper of a test fails with the test")]

mod chaos;
mod people;
mod reference;
mod relations;
mod rules;
mod support;
