//! docs/PROTOCOL.md says what the code does: its tables list every code and limit, its bytes are real encodings.
//! `REGENERATE=1 cargo test -p whimbrel-protocol --test docs` writes the byte examples anew.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod examples;

use std::collections::BTreeMap;
use std::path::PathBuf;

use whimbrel_protocol::code::Code;
use whimbrel_protocol::v1::go_away::Verdict;
use whimbrel_protocol::{limit, preface, version};

fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md"))
}

fn page() -> String {
    std::fs::read_to_string(path()).expect("docs/PROTOCOL.md is there")
}

/// The rows of the table under a heading, cells trimmed, without the two rows of the table's head.
fn table(heading: &str) -> Vec<Vec<String>> {
    let page = page();
    let (_, section) = page.split_once(&format!("\n{heading}\n")).expect("the heading is there");
    let lines = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_codes_are_all_listed_as_they_are() {
    let rows = table("## Codes");
    let expected: Vec<Vec<String>> = Code::ALL.iter().map(|&code| code_row(code)).collect();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}

fn code_row(code: Code) -> Vec<String> {
    let retry = if code.retryable() { "yes" } else { "no" };
    let verdict = match code.verdict() {
        Verdict::Resume => "RESUME",
        Verdict::Fresh => "FRESH",
        Verdict::Never => "NEVER",
    };
    let name = format!("`{}`", code.name());
    [code.number().to_string(), name, retry.into(), verdict.into(), code.meaning().into()].into()
}

#[test]
fn the_limits_are_all_listed_with_their_values() {
    let rows = table("## Limits");
    let listed: BTreeMap<&str, &str> =
        rows.iter().map(|row| (row[0].trim_matches('`'), row[1].as_str())).collect();
    let known = limits();
    for name in constants() {
        let value = known.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not known to this test"));
        assert_eq!(listed.get(name.as_str()), Some(&value.to_string().as_str()), "{name}");
    }
    assert_eq!(listed.len(), known.len(), "the page lists limits that do not exist");
}

/// Names of the public constants in limit.rs, read from its text so that none can be forgotten.
fn constants() -> Vec<String> {
    let source = include_str!("../../src/limit.rs");
    let names = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    names.map(str::to_owned).collect()
}

fn limits() -> BTreeMap<&'static str, u64> {
    macro_rules! values {
        ($($name:ident)+) => { [$((stringify!($name), limit::$name as u64)),+].into() };
    }
    values! {
        MAX_FRAME_BYTES FRAME_HEADER_BYTES MAX_HELLO_BYTES MAX_CONTENT_BYTES MAX_CONTENT_TYPE_BYTES
        MAX_SIGNAL_BYTES MAX_TENANT_BYTES MAX_USER_BYTES MAX_CONVERSATION_BYTES MAX_TITLE_BYTES
        MAX_INSTALLATION_BYTES CLIENT_MSG_ID_BYTES MAX_MEMBERS_PER_CHANGE MAX_MEMBERS MAX_SYNC_RANGES
        MAX_SYNC_MESSAGES MAX_PAGE_ROWS MAX_WATCHED MAX_REQUESTS_IN_FLIGHT DEDUPE_WINDOW MAX_BATCH_MESSAGES
        MAX_BATCH_BYTES MAX_ENTRY_OVERHEAD_BYTES MAX_LINK_FRAME_BYTES MAX_LINK_MESSAGE_BYTES
    }
}

#[test]
fn versions_alpn_and_path_are_as_written() {
    let page = page();
    let alpn = std::str::from_utf8(preface::ALPN).unwrap();
    assert_eq!(version::VERSIONS, 1..=1, "the page speaks of version 1 alone");
    for text in [alpn, preface::WEBSOCKET_PATH] {
        assert!(page.contains(&format!("`{text}`")), "{text} is not on the page");
    }
}

#[test]
fn every_message_of_the_schema_is_mentioned() {
    let (page, schema) = (page(), include_str!("../../proto/device.proto"));
    let names = schema.lines().filter_map(|line| line.strip_prefix("message ")?.split_whitespace().next());
    let missing: Vec<&str> = names.filter(|name| !page.contains(name)).collect();
    assert!(missing.is_empty(), "not on the page: {missing:?}");
}

#[test]
fn the_bytes_are_real_encodings() {
    let (mut page, mut wrong) = (page(), Vec::new());
    let known = examples::all();
    for (name, frame) in &known {
        let (start, end) = block(&page, name);
        let wanted = examples::dump(frame);
        if page[start..end] != wanted {
            wrong.push(*name);
            page.replace_range(start..end, &wanted);
        }
    }
    assert_eq!(
        page.matches("```hex ").count(),
        known.len(),
        "the page has an example this test does not know"
    );
    if std::env::var_os("REGENERATE").is_some() {
        return std::fs::write(path(), page).unwrap();
    }
    assert!(wrong.is_empty(), "stale: {wrong:?}; REGENERATE=1 cargo test -p whimbrel-protocol --test docs");
}

/// Where the bytes of an example stand on the page.
fn block(page: &str, name: &str) -> (usize, usize) {
    let head = format!("```hex {name}\n");
    let start = page.find(&head).unwrap_or_else(|| panic!("no example {name}")) + head.len();
    (start, start + page[start..].find("```").unwrap())
}
