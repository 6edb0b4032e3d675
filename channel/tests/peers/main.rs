//! Several channel nodes over one store, which in practice is one in a cluster: what one has for users of another.
//!
//! | file | topic |
//! |---|---|
//! | `pair` | two nodes, the links between them, and a view that changes |
//! | `push` | messages cross, once and in order |
//! | `presence` | who comes and goes is told across nodes |
//! | `moves` | slots get other owners |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that fails ends its test"
)]

#[path = "../support/mod.rs"]
mod support;

mod moves;
mod pair;
mod presence;
mod push;
