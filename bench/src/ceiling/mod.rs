//! The ceiling: the same traffic without any protocol, over bare epoll sockets on one thread, or to a bare file. No
//! gateway on this machine can be cheaper; how near ours comes is the figure.
//!
//! | file | noun |
//! |---|---|
//! | `process` | a process of its own, so that its processor time is told as the gateway's is |
//! | `wire` | what it and the generator's devices agree on |
//! | `server` | frames written singly to all listeners, relayed between pairs; idle sockets |
//! | `stream` | frames pushed to all listeners as fast as they take them, many a write |
//! | `append` | appends to a file, so many an fsync |

mod append;
pub mod process;
mod server;
mod stream;
pub mod wire;

pub use append::Appended;
