//! The server side of RFC 6455, as a byte stream of device frames.
//!
//! | file | noun |
//! |---|---|
//! | [`upgrade`] | the HTTP request that asks for a WebSocket, accepted or refused (pure) |
//! | [`mask`] | the XOR that clients apply to what they send |
//! | [`frame`] | opcodes, headers of outgoing frames, control payloads, violations |
//! | [`deframe`] | the state machine that finds payload in incoming bytes, in place (pure) |
//! | [`outgoing`] | what waits for a socket that is full: the rest of a message, a pong, a close |
//! | [`stream`] | the adapter itself |
//!
//! No extension is ever agreed on, so a set RSV bit is a violation. An idle adapter owns no heap memory.

pub mod deframe;
pub mod frame;
pub mod mask;
mod outgoing;
mod stream;
pub mod upgrade;

pub use stream::WebSocket;
