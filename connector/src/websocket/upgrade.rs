//! The HTTP request that asks for a WebSocket: accepted with the bytes to answer, or refused with a status.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use httparse::{Header, Request};
use sha1::{Digest, Sha1};

/// The subprotocol, echoed to clients that offer it and not asked of the others.
pub const SUBPROTOCOL: &str = "whimbrel.v1";

/// What RFC 6455 appends to the client's key.
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Which pages may open a WebSocket.
///
/// A request without `Origin` is a native client and welcome; a page from this very host (the Origin's host and port
/// are those of `Host`) always is; other pages must be on the list. No entry has a wildcard.
#[derive(Clone, Debug, Default)]
pub struct UpgradePolicy {
    origins: Vec<String>,
}

/// An allow-list entry that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: expected scheme://host or scheme://host:port")]
pub struct BadOrigin(pub String);

impl UpgradePolicy {
    /// A policy that also allows these origins, for example `https://chat.example.com`.
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, BadOrigin> {
        let origins =
            origins.into_iter().map(|origin| checked_origin(origin.into())).collect::<Result<_, _>>()?;
        Ok(Self { origins })
    }

    fn allows(&self, origin: &str, host: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.origins.contains(&origin) || is_same_host(&origin, &host.to_ascii_lowercase())
    }
}

/// A request that may become a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    accept_key: String,
    subprotocol: bool,
}

impl Accepted {
    /// The value of `Sec-WebSocket-Accept`.
    pub fn accept_key(&self) -> &str {
        &self.accept_key
    }

    /// The whole answer, status 101.
    pub fn response(&self) -> Vec<u8> {
        let subprotocol = match self.subprotocol {
            true => format!("Sec-WebSocket-Protocol: {SUBPROTOCOL}\r\n"),
            false => String::new(),
        };
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {}\r\n{subprotocol}\r\n",
            self.accept_key
        )
        .into_bytes()
    }
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the method must be GET")]
    Method,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("this path speaks WebSocket, version 13")]
    UpgradeRequired,
    #[error("pages of this origin may not connect")]
    Origin,
}

impl Refusal {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Refusal::Method => 405,
            Refusal::Malformed(_) => 400,
            Refusal::UpgradeRequired => 426,
            Refusal::Origin => 403,
        }
    }

    /// The whole answer; the connection closes after it.
    pub fn response(self) -> Vec<u8> {
        let (status, extra) = match self {
            Refusal::Method => ("405 Method Not Allowed", "Allow: GET\r\n"),
            Refusal::Malformed(_) => ("400 Bad Request", ""),
            Refusal::UpgradeRequired => {
                ("426 Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n")
            }
            Refusal::Origin => ("403 Forbidden", ""),
        };
        // `Connection` must name `Upgrade` where that header is sent.
        let connection = if self == Refusal::UpgradeRequired { "Upgrade, close" } else { "close" };
        let body = format!("{self}\n");
        format!(
            "HTTP/1.1 {status}\r\nConnection: {connection}\r\n{extra}Content-Type: text/plain\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Judges a whole request head. The caller has matched the path.
pub fn check(request: &Request<'_, '_>, policy: &UpgradePolicy) -> Result<Accepted, Refusal> {
    let headers = &*request.headers;
    if request.method != Some("GET") {
        return Err(Refusal::Method);
    }
    if request.version != Some(1) {
        return Err(Refusal::Malformed("the request must be HTTP/1.1"));
    }
    let host = single(headers, "host")?.ok_or(Refusal::Malformed("Host is missing"))?;
    if !lists(headers, "upgrade", "websocket") || !lists(headers, "connection", "upgrade") {
        return Err(Refusal::UpgradeRequired);
    }
    if single(headers, "sec-websocket-version")? != Some("13") {
        return Err(Refusal::UpgradeRequired);
    }
    let key =
        single(headers, "sec-websocket-key")?.ok_or(Refusal::Malformed("Sec-WebSocket-Key is missing"))?;
    check_key(key)?;
    check_no_body(headers)?;
    match single(headers, "origin")? {
        Some(origin) if !policy.allows(origin, host) => Err(Refusal::Origin),
        _ => Ok(Accepted {
            accept_key: accept_key(key),
            subprotocol: lists(headers, "sec-websocket-protocol", SUBPROTOCOL),
        }),
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(()),
        _ => Err(Refusal::Malformed("Sec-WebSocket-Key is not 16 bytes in base64")),
    }
}

/// A body would be read as WebSocket frames.
fn check_no_body(headers: &[Header<'_>]) -> Result<(), Refusal> {
    let length = single(headers, "content-length")?.unwrap_or("0");
    if length != "0" || single(headers, "transfer-encoding")?.is_some() {
        return Err(Refusal::Malformed("an upgrade has no body"));
    }
    Ok(())
}

fn accept_key(key: &str) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize())
}

/// The value of a header that may stand once.
fn single<'a>(headers: &[Header<'a>], name: &str) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Malformed("a header that may stand once stands twice"));
    }
    let value = std::str::from_utf8(first.value).map_err(|_| Refusal::Malformed("a header is not text"))?;
    Ok(Some(value.trim_ascii()))
}

/// Whether a header, read as comma-separated tokens, holds this one, whatever its case.
fn lists(headers: &[Header<'_>], name: &str, token: &str) -> bool {
    headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name))
        .flat_map(|header| header.value.split(|byte| *byte == b','))
        .any(|value| value.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn checked_origin(origin: String) -> Result<String, BadOrigin> {
    let lower = origin.to_ascii_lowercase();
    match lower.split_once("://") {
        Some((scheme, host))
            if !scheme.is_empty()
                && !host.is_empty()
                && !host.contains(|c: char| "/?#@*\\".contains(c) || c.is_whitespace() || c.is_control()) =>
        {
            Ok(lower)
        }
        _ => Err(BadOrigin(origin)),
    }
}

/// Whether the origin's host and port are those of `Host`, where either may leave the scheme's own port out.
fn is_same_host(origin: &str, host: &str) -> bool {
    let (port, authority) = match origin.split_once("://") {
        Some(("http", authority)) => (":80", authority),
        Some(("https", authority)) => (":443", authority),
        _ => return false,
    };
    let without_port = |text: &str| text.strip_suffix(port).unwrap_or(text).to_owned();
    !authority.is_empty() && without_port(authority) == without_port(host)
}

#[cfg(test)]
#[path = "upgrade_tests.rs"]
mod tests;
