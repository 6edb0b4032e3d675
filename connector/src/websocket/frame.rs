//! The pieces of a WebSocket frame: opcodes, outgoing headers, control payloads, and how a client breaks the rules.

use protocol::code::Code;

use crate::transport::TransportError;

/// A client may announce this much in one WebSocket frame. One message may hold several device frames, each of which
/// has its own, smaller limit; nothing is allocated for either before it has arrived.
pub const MAX_PAYLOAD_BYTES: u64 = 1024 * 1024;
/// Most bytes of a control frame's payload.
pub const MAX_CONTROL_BYTES: usize = 125;
/// Most bytes in front of an outgoing payload: server frames carry no mask.
pub const MAX_HEADER_BYTES: usize = 10;

/// The kinds of frame that RFC 6455 defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    /// The opcode in the low half of a frame's first byte.
    pub fn from_first_byte(byte: u8) -> Option<Opcode> {
        Some(match byte & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Text,
            2 => Opcode::Binary,
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return None,
        })
    }

    /// Whether this is a close, ping or pong.
    pub fn is_control(self) -> bool {
        self as u8 & 8 != 0
    }
}

/// How a client broke the framing. Fatal for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub enum Violation {
    Text,
    Unmasked,
    Reserved,
    Opcode,
    ControlTooLong,
    ControlFragmented,
    NothingToContinue,
    Interleaved,
    LengthSign,
    TooLong,
    CloseCode,
    CloseReason,
}

impl Violation {
    /// The code the connection is closed with.
    pub fn code(self) -> Code {
        match self {
            Violation::Text => Code::TEXT_MESSAGE,
            Violation::TooLong => Code::FRAME_TOO_LARGE,
            _ => Code::WEBSOCKET_VIOLATION,
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Violation::Text => "a WebSocket text message arrived",
            Violation::Unmasked => "a WebSocket frame is not masked",
            Violation::Reserved => "a WebSocket frame sets a reserved bit",
            Violation::Opcode => "a WebSocket frame has an unknown opcode",
            Violation::ControlTooLong => "a WebSocket control frame is longer than 125 bytes",
            Violation::ControlFragmented => "a WebSocket control frame is fragmented",
            Violation::NothingToContinue => "a WebSocket continuation frame continues nothing",
            Violation::Interleaved => "a WebSocket message starts inside another one",
            Violation::LengthSign => "a WebSocket frame's length has the top bit set",
            Violation::TooLong => "a WebSocket frame announces more than the limit",
            Violation::CloseCode => "a WebSocket close frame has a bad code",
            Violation::CloseReason => "a WebSocket close reason is not UTF-8",
        }
    }
}

impl From<Violation> for std::io::Error {
    fn from(violation: Violation) -> Self {
        TransportError { code: violation.code(), detail: violation.detail() }.into()
    }
}

/// A control frame's payload, up to 125 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    length: u8,
    bytes: [u8; MAX_CONTROL_BYTES],
}

impl Default for Control {
    fn default() -> Self {
        Self { length: 0, bytes: [0; MAX_CONTROL_BYTES] }
    }
}

impl Control {
    /// The payload that announces a close with this code, which is `4000 + code`, and its name as the reason.
    pub fn closing(code: Code) -> Self {
        let mut control = Self::default();
        control.extend(&code.websocket().to_be_bytes());
        control.extend(code.name().as_bytes());
        control
    }

    /// Appends as much as there is room for.
    pub fn extend(&mut self, more: &[u8]) {
        let start = usize::from(self.length);
        let take = more.len().min(MAX_CONTROL_BYTES - start);
        self.bytes[start..start + take].copy_from_slice(&more[..take]);
        self.length = (start + take) as u8;
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Checks a close frame's payload: nothing, or a code that may travel and a reason in UTF-8.
    pub fn check_close(&self) -> Result<(), Violation> {
        let (code, reason) = match self.as_slice() {
            [] => return Ok(()),
            [_] => return Err(Violation::CloseCode),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
            return Err(Violation::CloseCode);
        }
        std::str::from_utf8(reason).map(|_| ()).map_err(|_| Violation::CloseReason)
    }
}

/// The header of an outgoing, unfragmented frame, and how many of its bytes count.
pub fn header(opcode: Opcode, payload: usize) -> ([u8; MAX_HEADER_BYTES], usize) {
    let mut bytes = [0; MAX_HEADER_BYTES];
    bytes[0] = 0x80 | opcode as u8;
    let length = match payload {
        0..=125 => {
            bytes[1] = payload as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(payload as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..10].copy_from_slice(&(payload as u64).to_be_bytes());
            10
        }
    };
    (bytes, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(bytes: &[u8]) -> Control {
        let mut control = Control::default();
        control.extend(bytes);
        control
    }

    #[test]
    fn close_payloads_are_checked() {
        for code in [1000u16, 1003, 1007, 1014, 3000, 4204, 4999] {
            assert_eq!(control(&code.to_be_bytes()).check_close(), Ok(()), "{code}");
        }
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            assert_eq!(control(&code.to_be_bytes()).check_close(), Err(Violation::CloseCode), "{code}");
        }
        assert_eq!(control(&[]).check_close(), Ok(()));
        assert_eq!(control(&[3]).check_close(), Err(Violation::CloseCode));
        assert_eq!(control(&[3, 0xe8, 0xff]).check_close(), Err(Violation::CloseReason));
    }

    #[test]
    fn every_code_makes_a_valid_close() {
        for code in Code::ALL {
            assert_eq!(Control::closing(*code).check_close(), Ok(()), "{code}");
        }
    }

    #[test]
    fn headers_use_the_shortest_length() {
        for (payload, length) in [(0, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)] {
            assert_eq!(header(Opcode::Binary, payload).1, length, "{payload}");
        }
        assert_eq!(header(Opcode::Binary, 258).0[..4], [0x82, 126, 1, 2]);
    }
}
