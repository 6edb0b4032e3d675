//! The catalogue of error and close codes.
//!
//! A code travels in `Error.code` (one request failed), in `GoAway.code` (the connection is about to close), as
//! WebSocket close code `4000 + code` and as QUIC application error code. The class is the hundred: 1xx protocol,
//! 2xx auth, 3xx request, 4xx throttle, 5xx server.

use crate::v1;
use crate::v1::go_away::Verdict;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $retry:literal, $verdict:ident;)+) => {
        #[allow(non_camel_case_types)]
        /// One reason to refuse a request or to close a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Code { $($(#[doc = $doc])+ $name = $number,)+ }

        impl Code {
            /// Every code, ascending.
            pub const ALL: &'static [Code] = &[$(Code::$name,)+];

            /// The code with this number.
            pub fn from_number(number: u32) -> Option<Code> {
                match number { $($number => Some(Code::$name),)+ _ => None }
            }

            /// The name in the documentation, for example `FRAME_TOO_LARGE`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)+ }
            }

            /// What it means, one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// Whether the same request may succeed when it is sent again unchanged.
            pub fn retryable(self) -> bool {
                match self { $(Code::$name => $retry,)+ }
            }

            /// What a device does after a connection was closed with this code.
            pub fn verdict(self) -> Verdict {
                match self { $(Code::$name => Verdict::$verdict,)+ }
            }
        }
    };
}

codes! {
    /// A frame or message does not decode.
    MALFORMED = 100, false, Never;
    /// A frame announces length 0; the flags byte is missing.
    FRAME_EMPTY = 101, false, Never;
    /// A frame announces more bytes than the limit.
    FRAME_TOO_LARGE = 102, false, Never;
    /// The stream does not open with the preface.
    BAD_PREFACE = 103, false, Never;
    /// The first frame is not Hello.
    HELLO_EXPECTED = 104, false, Never;
    /// No complete Hello arrived in time.
    HELLO_TIMEOUT = 105, true, Resume;
    /// A WebSocket text message arrived; frames travel in binary messages.
    TEXT_MESSAGE = 106, false, Never;
    /// No protocol version is shared.
    UNSUPPORTED_VERSION = 107, false, Never;
    /// A frame carries a flag that was not agreed on.
    UNSUPPORTED_FLAG = 108, false, Never;
    /// Nothing arrived for three heartbeats.
    HEARTBEAT_TIMEOUT = 109, true, Resume;
    /// The stream ended inside a frame.
    TRUNCATED = 110, true, Resume;
    /// A second Hello arrived.
    UNEXPECTED_HELLO = 111, false, Never;
    /// The WebSocket framing is broken.
    WEBSOCKET_VIOLATION = 112, false, Never;
    /// Pushes were not acknowledged in time, nor after they were sent again.
    ACK_TIMEOUT = 113, true, Resume;

    /// There is no token.
    TOKEN_REQUIRED = 200, false, Never;
    /// The token is malformed, its signature does not match, or it is meant for somebody else.
    TOKEN_INVALID = 201, false, Never;
    /// The token has expired.
    TOKEN_EXPIRED = 202, false, Never;
    /// The refreshed token names another user.
    TOKEN_FOR_ANOTHER_USER = 203, false, Never;
    /// The same device connected again; this connection is the older one.
    SUPERSEDED = 204, false, Never;
    /// The user has more devices of this type connected than allowed.
    DEVICE_LIMIT = 205, false, Never;

    /// A field of the request is missing or not allowed; the message says which.
    INVALID_REQUEST = 300, false, Fresh;
    /// There is no such conversation, or none that this user may see.
    NOT_FOUND = 301, false, Fresh;
    /// The content is larger than the limit.
    CONTENT_TOO_LARGE = 302, false, Fresh;
    /// The request names more things than the limit allows.
    TOO_MANY = 303, false, Fresh;
    /// The send names a predecessor that was not accepted; send that one again first.
    OUT_OF_ORDER = 304, true, Fresh;
    /// This server does not know the request.
    UNIMPLEMENTED = 305, false, Fresh;
    /// This member may not do that.
    NOT_ALLOWED = 306, false, Fresh;

    /// Too much at once; wait and send again.
    SLOW_DOWN = 400, true, Resume;
    /// This server holds as many connections as it may.
    TOO_MANY_CONNECTIONS = 401, true, Resume;
    /// The device does not read what it is sent.
    SLOW_CONSUMER = 402, true, Resume;

    /// Something failed inside the server.
    INTERNAL = 500, true, Resume;
    /// The store or the owner of the conversation is out of reach.
    UNAVAILABLE = 501, true, Resume;
    /// It is not known whether the message was stored; send it again with the same client_msg_id.
    OUTCOME_UNKNOWN = 502, true, Resume;
    /// The server has more work queued than it may.
    OVERLOADED = 503, true, Resume;
    /// The server is shutting down.
    SHUTTING_DOWN = 504, true, Resume;
    /// Stored data of this conversation is damaged; the operator has to look.
    CORRUPT = 505, false, Fresh;
    /// Another server has more room for this device.
    MOVED = 506, true, Resume;
}

impl Code {
    /// The number that travels.
    pub fn number(self) -> u32 {
        u32::from(self as u16)
    }

    /// The WebSocket close code.
    pub fn websocket(self) -> u16 {
        4000 + self as u16
    }

    /// An `Error` with this code. `message` is for people; the device obeys the other fields.
    pub fn error(self, message: impl Into<String>) -> v1::Error {
        v1::Error {
            code: self.number(),
            message: message.into(),
            retryable: self.retryable(),
            retry_after_ms: if self.retryable() { RETRY_AFTER_MS } else { 0 },
        }
    }

    /// An `Error` whose message is the code's own meaning.
    pub fn plain_error(self) -> v1::Error {
        self.error(self.meaning())
    }

    /// The `GoAway` that closes a connection with this code.
    pub fn go_away(self, reason: impl Into<String>) -> v1::GoAway {
        let verdict = self.verdict();
        v1::GoAway {
            verdict: verdict.into(),
            code: self.number(),
            reason: reason.into(),
            delay_ms: if verdict == Verdict::Never { 0 } else { RETRY_AFTER_MS },
            endpoint: String::new(),
        }
    }
}

/// What retryable errors suggest to wait, in milliseconds. Devices add jitter.
const RETRY_AFTER_MS: u32 = 200;

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.number(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_read_back() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number());
        }
        for code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(*code));
            assert!(!code.meaning().is_empty());
        }
        assert_eq!(Code::from_number(999), None);
    }

    #[test]
    fn a_superseded_device_does_not_come_back_by_itself() {
        assert_eq!(Code::SUPERSEDED.verdict(), Verdict::Never);
        assert_eq!(Code::SUPERSEDED.websocket(), 4204);
    }
}
