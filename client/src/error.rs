//! What can go wrong, as an application sees it.

use std::sync::Arc;

use protocol::check::Refused;
use protocol::code::Code;

use crate::reconnect::Lost;

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not one this client can dial.
    #[error("{address:?} is not an address of a server: {problem}")]
    Address { address: String, problem: String },
    /// Nobody answers at the address, or not in this protocol.
    #[error("cannot connect to {address}: {source}")]
    Dial { address: String, source: Arc<std::io::Error> },
    /// The server answered, but not with a Welcome in time.
    #[error("{address} does not answer as a Whimbrel server: {problem}")]
    Handshake { address: String, problem: String },
    /// The server refused, for example because of the token.
    #[error("{address} refuses the connection: {}", describe(.lost))]
    Refused { address: String, lost: Lost },
    /// The application's token source failed.
    #[error("no token: {0}")]
    Token(String),
    /// A certificate or a trust root cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl ConnectError {
    /// Whether trying again later can help.
    pub fn retryable(&self) -> bool {
        match self {
            ConnectError::Dial { .. } | ConnectError::Handshake { .. } | ConnectError::Token(_) => true,
            ConnectError::Refused { lost, .. } => lost.verdict != protocol::v1::go_away::Verdict::Never,
            ConnectError::Address { .. } | ConnectError::Tls(_) => false,
        }
    }

    /// The code the server refused with.
    pub fn code(&self) -> Option<Code> {
        match self {
            ConnectError::Refused { lost, .. } => lost.code,
            _ => None,
        }
    }
}

/// Why a request was not served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// More waits than may; nothing was sent.
    #[error("too much is waiting to be sent")]
    QueueFull,
    /// The request breaks a limit; nothing was sent.
    #[error("{0}")]
    Invalid(Refused),
    /// The server refuses it.
    #[error("{message} ({number}{})", name(*code))]
    Refused { number: u32, code: Option<Code>, message: String },
    /// The server answered with something else than what was asked.
    #[error("the server's answer does not fit the request")]
    Unexpected,
    /// The client was closed, or must not connect again. Whether an unanswered send was stored is not known.
    #[error("the client is closed: {0}")]
    Closed(String),
}

/// Why a send was not acknowledged.
pub type SendError = RequestError;

impl RequestError {
    /// The code the server refused with, if this client knows it.
    pub fn code(&self) -> Option<Code> {
        match self {
            RequestError::Refused { code, .. } => *code,
            RequestError::Invalid(refused) => Some(refused.code),
            _ => None,
        }
    }

    pub(crate) fn from_wire(error: protocol::v1::Error) -> RequestError {
        let code = Code::from_number(error.code);
        RequestError::Refused { number: error.code, code, message: error.message }
    }
}

impl From<Refused> for RequestError {
    fn from(refused: Refused) -> RequestError {
        RequestError::Invalid(refused)
    }
}

/// One line about how a connection ended.
pub(crate) fn describe(lost: &Lost) -> String {
    match lost.code {
        Some(code) if lost.reason.is_empty() => format!("{} ({code})", code.meaning()),
        Some(code) => format!("{} ({code})", lost.reason),
        None => lost.reason.clone(),
    }
}

fn name(code: Option<Code>) -> String {
    code.map(|code| format!(" {}", code.name())).unwrap_or_default()
}
