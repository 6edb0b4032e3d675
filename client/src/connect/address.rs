//! Addresses: `scheme://host:port`.

use std::fmt;

use crate::error::ConnectError;

/// How frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Tcp,
    Tls,
    Quic,
    Ws,
    Wss,
}

impl Scheme {
    /// Whether what is said is encrypted.
    pub fn is_secure(self) -> bool {
        matches!(self, Scheme::Tls | Scheme::Quic | Scheme::Wss)
    }

    fn name(self) -> &'static str {
        match self {
            Scheme::Tcp => "tcp",
            Scheme::Tls => "tls",
            Scheme::Quic => "quic",
            Scheme::Ws => "ws",
            Scheme::Wss => "wss",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Scheme::Ws => Some(80),
            Scheme::Wss => Some(443),
            _ => None,
        }
    }
}

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub scheme: Scheme,
    /// A name or an IP address, without brackets.
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `tcp://`, `tls://`, `quic://`, `ws://` or `wss://` with host and port; a trailing slash and the
    /// WebSocket endpoint's own path are allowed.
    pub fn parse(text: &str) -> Result<Address, ConnectError> {
        let bad = |problem: &str| ConnectError::Address { address: text.into(), problem: problem.into() };
        let (scheme, rest) = text.split_once("://").ok_or_else(|| bad("it has no scheme such as tcp://"))?;
        let scheme = read_scheme(scheme).ok_or_else(|| bad("the scheme is not tcp, tls, quic, ws or wss"))?;
        let rest = rest.strip_suffix(protocol::preface::WEBSOCKET_PATH).unwrap_or(rest);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(rest);
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(['/', '@', '?', '#', '[', ']']) {
            return Err(bad("there is no host in it, or more than a host and a port"));
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| bad("the port is not a number up to 65535"))?,
            None => scheme.default_port().ok_or_else(|| bad("it has no port"))?,
        };
        Ok(Address { scheme, host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { scheme, host, port } = self;
        match host.contains(':') {
            true => write!(f, "{}://[{host}]:{port}", scheme.name()),
            false => write!(f, "{}://{host}:{port}", scheme.name()),
        }
    }
}

fn read_scheme(name: &str) -> Option<Scheme> {
    let all = [Scheme::Tcp, Scheme::Tls, Scheme::Quic, Scheme::Ws, Scheme::Wss];
    all.into_iter().find(|scheme| scheme.name() == name)
}

/// The port stands behind the last colon, unless that is inside the brackets of an IPv6 address.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_read_and_print() {
        for text in ["tcp://127.0.0.1:7400", "tls://chat.example:443", "quic://[::1]:7401", "ws://h:8080"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Address::parse("wss://chat.example/v1/ws").unwrap().port, 443);
        assert_eq!(Address::parse("ws://chat.example:81/").unwrap().port, 81);
    }

    #[test]
    fn bad_addresses_say_why() {
        let bad =
            ["127.0.0.1:7400", "http://h:1", "tcp://h", "tcp://:1", "tcp://h:x", "tcp://a@h:1", "ws://h/x"];
        for text in bad {
            let error = Address::parse(text).unwrap_err();
            assert!(matches!(error, ConnectError::Address { .. }), "{text}: {error}");
        }
    }
}
