//! The listeners: what each port takes and how a socket becomes a transport.

pub mod http;
pub mod quic;
mod tcp;
