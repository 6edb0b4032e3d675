//! The four bytes that open a plain TCP or TLS stream, before the first frame.
//!
//! The first is at least 0x80, so one port can tell it from TLS (0x16) and from HTTP (a letter). QUIC (by ALPN)
//! and WebSocket (by its upgrade) have no preface.

/// `0xD7 'W' 'B' 0x01`: the last byte is the framing version.
pub const PREFACE: [u8; 4] = [0xD7, b'W', b'B', 1];

/// `0xD7 'W' 'L' 0x01` opens a link between nodes: a device at that port, or a node at a device's, is told apart at once.
pub const LINK_PREFACE: [u8; 4] = [0xD7, b'W', b'L', 1];

/// ALPN protocol name on QUIC and TLS.
pub const ALPN: &[u8] = b"whimbrel/1";

/// Path of the WebSocket endpoint on the HTTP port.
pub const WEBSOCKET_PATH: &str = "/v1/ws";
