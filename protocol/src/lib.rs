//! The wire protocol of Whimbrel, without sockets.
//!
//! | file | noun |
//! |---|---|
//! | [`v1`] | device protocol, generated from `proto/device.proto` |
//! | [`node`] | node protocol, generated from `proto/node.proto` |
//! | [`limit`] | every size and count that bounds what a peer may send |
//! | [`code`] | every error and close code, whether to retry and whether to reconnect |
//! | [`frame`] | a frame: length, flags, body |
//! | [`codec`] | frames in a byte stream, as tokio-util `Decoder` and `Encoder` |
//! | [`preface`] | the four bytes that open a plain stream |
//! | [`splice`] | frames built around bytes that are already encoded |
//! | [`check`] | what a well-formed id, title or request is |
//! | [`names`] | conversation ids: direct and derived |
//! | [`version`] | protocol versions and features |

pub mod check;
pub mod code;
pub mod codec;
pub mod frame;
pub mod limit;
pub mod names;
pub mod preface;
pub mod splice;
pub mod version;

/// Device protocol messages (`whimbrel.v1`).
#[allow(clippy::all, clippy::pedantic)]
pub mod v1 {
    include!("generated/whimbrel.v1.rs");
}

/// Node protocol messages (`whimbrel.node.v1`).
pub mod node {
    #[allow(clippy::all, clippy::pedantic)]
    pub mod v1 {
        include!("generated/whimbrel.node.v1.rs");
    }
}

pub use bytes::Bytes;
pub use prost::Message as Proto;
