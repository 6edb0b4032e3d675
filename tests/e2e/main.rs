//! Tests on the real program: processes, sockets, a browser.
//!
//! | file | topic |
//! |---|---|
//! | `cluster` | a store in a cluster that comes late, goes away, comes back |
//! | `refused_store` | a store in a cluster that refuses: password, rights, schema |
//! | `admin` | the operator's listener: timelines, and the presence stream over a `kill -9` |
//! | `rooms` | devices on three transports in one conversation; away and back; two devices of one user |
//! | `relations` | replies, edits, recalls; what a device that was away asks for |
//! | `resume` | a session outlives its connection |
//! | `retries` | one client_msg_id has one seq; a device that connects again replaces its older connection |
//! | `crash` | `kill -9` under load loses nothing that was acked |
//! | `slow` | a device that does not read is hinted, catches up, and delays nobody |
//! | `hostile` | bytes that are no protocol |
//! | `tokens` | who may log in |
//! | `requests` | requests that are refused |
//! | `websocket` | what is particular to WebSocket |
//! | `store` | the data directory: second process, damage, read-only disk |
//! | `store_tools` | `whimbrel store`: check, copy, migrate |
//! | `page` | the chat page in a browser |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod cluster;
mod crash;
mod hostile;
mod page;
mod refused_store;
mod relations;
mod requests;
mod resume;
mod retries;
mod rooms;
mod slow;
mod store;
mod store_tools;
mod tokens;
mod websocket;
