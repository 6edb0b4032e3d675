//! Links between nodes.
//!
//! | file | topic |
//! |---|---|
//! | `wire` | bytes: split anywhere, cut off, too large, garbage |
//! | `core` | numbers and windows, against a model, over connections that break |
//! | `hello` | who may link with whom |
//! | `tcp` | both sides over loopback: order, breaks, bounds, restarts |
//! | `hostile` | what else comes to the port |
//! | `tls` | certificates and roles |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod core;
mod hello;
mod hostile;
mod support;
mod tcp;
mod tls;
mod wire;
