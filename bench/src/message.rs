//! What devices say where only its size matters.

use bytes::Bytes;
use protocol::v1::{Content, Send};

/// A message of so many bytes, without where it goes.
pub fn of(bytes: usize) -> Send {
    let content = Content { r#type: "application/octet-stream".into(), data: vec![b'x'; bytes].into() };
    Send { client_msg_id: fresh_id(), content: Some(content), ..Send::default() }
}

/// A client_msg_id that no other call returns.
pub fn fresh_id() -> Bytes {
    Bytes::copy_from_slice(&rand::random::<[u8; 16]>())
}
