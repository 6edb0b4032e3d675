use proptest::prelude::*;

use super::*;

/// The request of RFC 6455 section 1.3, as lines that a test may change.
const LINES: [&str; 5] = [
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
];

fn ask(start: &str, lines: &[&str], policy: &UpgradePolicy) -> Result<Accepted, Refusal> {
    let text = format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n"));
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = Request::new(&mut headers);
    assert!(request.parse(text.as_bytes()).unwrap().is_complete());
    check(&request, policy)
}

fn ask_with(extra: &[&str]) -> Result<Accepted, Refusal> {
    let policy = UpgradePolicy::new(["https://App.example.com"]).unwrap();
    ask("GET /v1/ws HTTP/1.1", &[&LINES, extra].concat(), &policy)
}

fn ask_without(name: &str) -> Result<Accepted, Refusal> {
    let lines: Vec<&str> = LINES.into_iter().filter(|line| !line.starts_with(name)).collect();
    ask("GET /v1/ws HTTP/1.1", &lines, &UpgradePolicy::default())
}

#[test]
fn the_example_of_the_rfc_is_accepted() {
    let accepted = ask_with(&[]).unwrap();
    assert_eq!(accepted.accept_key(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let response = String::from_utf8(accepted.response()).unwrap();
    assert!(response.starts_with("HTTP/1.1 101 "));
    assert!(response.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert!(!response.contains("Protocol:"));
    assert!(response.ends_with("\r\n\r\n"));
}

#[test]
fn the_subprotocol_is_echoed_if_offered() {
    let offered = ask_with(&["Sec-WebSocket-Protocol: chat, whimbrel.v1"]).unwrap();
    assert!(
        String::from_utf8(offered.response()).unwrap().contains("Sec-WebSocket-Protocol: whimbrel.v1\r\n")
    );
    let other = ask_with(&["Sec-WebSocket-Protocol: chat"]).unwrap();
    assert!(!String::from_utf8(other.response()).unwrap().contains("Protocol:"));
}

#[test]
fn pages_need_the_same_host_or_the_list() {
    for origin in ["https://app.example.com", "http://server.example.com", "https://SERVER.example.com:443"] {
        assert!(ask_with(&[&format!("Origin: {origin}")]).is_ok(), "{origin}");
    }
    for origin in [
        "null",
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "https://app.example.com:8443",
        "https://server.example.com:8080",
        "http://server.example.com:443",
        "http://app.example.com",
        "://server.example.com",
        "server.example.com",
        "",
    ] {
        assert_eq!(ask_with(&[&format!("Origin: {origin}")]), Err(Refusal::Origin), "{origin}");
    }
    let two = ["Origin: https://app.example.com", "Origin: https://evil.example.com"];
    assert_eq!(ask_with(&two).unwrap_err().status(), 400);
}

#[test]
fn an_empty_host_matches_no_origin() {
    let lines = [&["Host: ", "Origin: http://"][..], &LINES[1..]].concat();
    assert_eq!(ask("GET /v1/ws HTTP/1.1", &lines, &UpgradePolicy::default()), Err(Refusal::Origin));
}

#[test]
fn the_list_holds_origins_only() {
    for bad in
        ["*", "example.com", "https://", "https://example.com/", "https://*.example.com", "https://a b"]
    {
        assert_eq!(UpgradePolicy::new([bad]).unwrap_err(), BadOrigin(bad.into()));
    }
}

#[test]
fn each_flaw_has_its_status() {
    let any = UpgradePolicy::default();
    assert_eq!(ask("POST /v1/ws HTTP/1.1", &LINES, &any).unwrap_err().status(), 405);
    assert_eq!(ask("GET /v1/ws HTTP/1.0", &LINES, &any).unwrap_err().status(), 400);
    assert_eq!(ask_without("Host").unwrap_err().status(), 400);
    assert_eq!(ask_without("Upgrade").unwrap_err().status(), 426);
    assert_eq!(ask_without("Connection").unwrap_err().status(), 426);
    assert_eq!(ask_without("Sec-WebSocket-Version").unwrap_err().status(), 426);
    assert_eq!(ask_without("Sec-WebSocket-Key").unwrap_err().status(), 400);
    assert_eq!(ask_with(&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]).unwrap_err().status(), 400);
    assert_eq!(ask_with(&["Content-Length: 5"]).unwrap_err().status(), 400);
    assert_eq!(ask_with(&["Transfer-Encoding: chunked"]).unwrap_err().status(), 400);
    assert_eq!(ask_with(&["Origin: \u{fffd}"]).unwrap_err().status(), 403);

    let mut lines = LINES;
    lines[4] = "Sec-WebSocket-Version: 8";
    let refusal = ask("GET /v1/ws HTTP/1.1", &lines, &any).unwrap_err();
    let response = String::from_utf8(refusal.response()).unwrap();
    assert!(response.starts_with("HTTP/1.1 426 "));
    assert!(response.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    lines = LINES;
    lines[3] = "Sec-WebSocket-Key: dG9vIHNob3J0";
    assert_eq!(ask("GET /v1/ws HTTP/1.1", &lines, &any).unwrap_err().status(), 400);
}

proptest! {
    #[test]
    fn any_headers_are_judged_without_panic(
        values in prop::collection::vec((0usize..8, prop::collection::vec(any::<u8>(), 0..30)), 0..8)
    ) {
        const NAMES: [&str; 8] = ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version",
            "Origin", "Sec-WebSocket-Protocol", "Content-Length"];
        let mut headers: Vec<Header<'_>> =
            values.iter().map(|(name, value)| Header { name: NAMES[*name], value }).collect();
        let mut request = Request::new(&mut headers);
        request.method = Some("GET");
        request.version = Some(1);
        let _ = check(&request, &UpgradePolicy::default()).map_err(|refusal| refusal.response());
    }
}
