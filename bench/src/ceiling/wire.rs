//! What the ceiling's server and its devices agree on: a hello, one byte back, then bare frames.

/// Bytes of a hello: who it is, and its number.
pub const HELLO_BYTES: usize = 5;
/// Bytes of a receiver's answer to a frame.
pub const ACK_BYTES: usize = 16;
/// The server's answer to a hello.
pub const READY: u8 = b'!';

/// Who a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Idle,
    Speaker,
    Listener,
    Sender,
    Receiver,
}

impl Kind {
    const ALL: [(Kind, u8); 5] = [
        (Kind::Idle, b'i'),
        (Kind::Speaker, b'p'),
        (Kind::Listener, b'l'),
        (Kind::Sender, b's'),
        (Kind::Receiver, b'r'),
    ];
}

pub fn hello(kind: Kind, number: u32) -> [u8; HELLO_BYTES] {
    let letter = Kind::ALL.iter().find(|(other, _)| *other == kind).map_or(b'i', |(_, letter)| *letter);
    let [a, b, c, d] = number.to_be_bytes();
    [letter, a, b, c, d]
}

/// Who says hello; None if it is nobody we know.
pub fn read_hello(bytes: [u8; HELLO_BYTES]) -> Option<(Kind, u32)> {
    let [letter, a, b, c, d] = bytes;
    let kind = Kind::ALL.iter().find(|(_, other)| *other == letter)?.0;
    Some((kind, u32::from_be_bytes([a, b, c, d])))
}
