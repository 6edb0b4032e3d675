//! What to do about a connection that did not come about.

use anyhow::anyhow;
use client::ConnectError;

const NOT_THERE: &str = "start a gateway with `whimbrel dev`, or name one with --server URL";
const NOT_TRUSTED: &str = "the server's certificate is not trusted; name it with --certificate FILE";
const IS_CA: &str = "the server's certificate is a CA certificate, which no client takes from a server; make one with \
                     `openssl req -x509 ... -addext basicConstraints=critical,CA:FALSE`";
const OTHER_NAME: &str =
    "the server's certificate is for another name; name the server as the certificate does";
const OUT_OF_DATE: &str = "the server's certificate is not valid at this time";
const NO_TLS: &str = "the port does not speak TLS; use tcp://";
const NO_HTTPS: &str = "the port does not speak TLS; use ws://";
const NOT_TCP: &str = "this is not the TCP port (7400 unless configured), or it wants TLS (tls://)";
const NOT_WEBSOCKET: &str = "this is not the HTTP port (7480 unless configured)";
const WANTS_TLS: &str = "the port speaks TLS; use wss://";
const OTHER_PROTOCOL: &str =
    "the port speaks TLS for something else; TCP has 7400 and HTTP 7480 unless configured";

/// What a certificate is refused for, as the TLS library's text names it.
const CERTIFICATE: [(&str, &str); 4] = [
    ("CaUsedAsEndEntity", IS_CA),
    ("not valid for name", OTHER_NAME),
    ("NotValidForName", OTHER_NAME),
    ("xpired", OUT_OF_DATE),
];

/// The error in words, with what to do.
pub fn explain(error: ConnectError) -> anyhow::Error {
    match &error {
        ConnectError::Dial { address, source } => dial(address, &source.to_string()),
        ConnectError::Handshake { address, .. } if address.starts_with("tcp://") => {
            anyhow!("{address} does not answer as a Whimbrel server: {NOT_TCP}")
        }
        ConnectError::Refused { .. } if is_about_the_token(&error) => {
            anyhow!("{error}; get a token from the tenant's backend, or with `whimbrel token --user NAME`")
        }
        _ => error.into(),
    }
}

fn is_about_the_token(error: &ConnectError) -> bool {
    error.code().is_some_and(|code| code.number() / 100 == 2)
}

// The libraries below say more than a person wants, so a known cause stands alone.
fn dial(address: &str, cause: &str) -> anyhow::Error {
    match known(address, cause) {
        Some(words) => anyhow!("cannot connect to {address}: {words}"),
        None => anyhow!("cannot connect to {address}: {cause}; {NOT_THERE}"),
    }
}

fn known(address: &str, cause: &str) -> Option<&'static str> {
    if cause.contains("invalid peer certificate") {
        let known = CERTIFICATE.iter().find(|(name, _)| cause.contains(name));
        return Some(known.map_or(NOT_TRUSTED, |(_, words)| words));
    }
    if cause.contains("InvalidContentType") {
        return Some(if address.starts_with("wss://") { NO_HTTPS } else { NO_TLS });
    }
    if cause.contains("NoApplicationProtocol") {
        return Some(OTHER_PROTOCOL);
    }
    match address.split_once("://") {
        Some(("ws", _)) if cause.contains("httparse") => Some(WANTS_TLS),
        Some(("ws" | "wss", _)) if cause.contains("HTTP error") => Some(NOT_WEBSOCKET),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_causes_are_told_without_the_library_s_words() {
        for (address, cause, words) in [
            ("tls://h:1", "invalid peer certificate: UnknownIssuer", NOT_TRUSTED),
            ("quic://h:1", "error 46: invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))", IS_CA),
            ("tls://h:1", "invalid peer certificate: certificate not valid for name \"h\"; x", OTHER_NAME),
            ("tls://h:1", "received corrupt message of type InvalidContentType", NO_TLS),
            ("wss://h:1", "received corrupt message of type InvalidContentType", NO_HTTPS),
            ("tls://h:1", "received fatal alert: NoApplicationProtocol", OTHER_PROTOCOL),
            ("ws://h:1", "WebSocket protocol error: httparse error: invalid HTTP version", WANTS_TLS),
            ("ws://h:1", "HTTP error: 400 Bad Request", NOT_WEBSOCKET),
        ] {
            assert_eq!(dial(address, cause).to_string(), format!("cannot connect to {address}: {words}"));
        }
    }

    #[test]
    fn what_is_not_known_is_told_as_it_is() {
        let told = dial("tcp://h:1", "Connection refused (os error 111)").to_string();
        assert!(told.contains("Connection refused") && told.ends_with(NOT_THERE), "{told}");
    }
}
