//! Files and functions that fit into a reader's head.

use crate::tree::{Source, assert_none, sources};

const MAX_FILE_LINES: usize = 400;
const MAX_FUNCTION_LINES: usize = 70;

/// Files that are longer, with their lines. The numbers only fall; a file that has become short leaves the list.
const LONG_FILES: [(&str, usize); 1] = [
    // One schema is read, compiled and versioned as one file.
    ("protocol/proto/device.proto", 493),
];

const CODE: [&str; 7] = [".rs", ".js", ".mjs", ".ts", ".css", ".html", ".proto"];

#[test]
fn no_file_is_long() {
    let lines = |source: &Source| source.text.lines().count();
    let limit =
        |path: &str| LONG_FILES.iter().find(|(name, _)| *name == path).map_or(MAX_FILE_LINES, |(_, n)| *n);
    let long = sources(&CODE).into_iter().filter(|source| lines(source) > limit(&source.path));
    assert_none(long.map(|source| format!("{}: {} lines", source.path, lines(&source))).collect());
}

#[test]
fn the_list_of_long_files_only_shrinks() {
    let files = sources(&CODE);
    let stale = LONG_FILES.iter().filter(|(path, allowed)| {
        let lines = files.iter().find(|source| source.path == *path).map_or(0, |s| s.text.lines().count());
        lines <= MAX_FILE_LINES || lines < *allowed
    });
    assert_none(stale.map(|(path, allowed)| format!("{path}: no longer has {allowed} lines")).collect());
}

#[test]
fn no_function_is_long() {
    let mut long = Vec::new();
    for source in sources(&[".rs", ".js", ".mjs"]) {
        let lines: Vec<&str> = source.text.lines().collect();
        for at in (0..lines.len()).filter(|&at| begins_function(lines[at])) {
            let length = function_length(&lines[at..]);
            if length > MAX_FUNCTION_LINES {
                long.push(format!("{}:{}: {length} lines", source.path, at + 1));
            }
        }
    }
    assert_none(long);
}

/// Whether a function's head starts in this line.
fn begins_function(line: &str) -> bool {
    let modifiers = ["export", "default", "static", "async", "const", "pub", "pub(crate)", "pub(super)"];
    let mut words = line.split_whitespace().skip_while(|word| modifiers.contains(word));
    matches!(words.next(), Some("fn" | "function"))
}

/// Lines from the head to the brace that closes the body: formatted code has it in the head's own column.
fn function_length(lines: &[&str]) -> usize {
    let column = lines[0].len() - lines[0].trim_start().len();
    let head = lines.iter().take_while(|line| !line.contains('{') && !line.ends_with(';')).count();
    if lines.get(head).is_none_or(|line| !line.ends_with('{')) {
        return head + 1;
    }
    let closes =
        |line: &&str| line.trim_start().starts_with('}') && line.len() - line.trim_start().len() == column;
    lines.iter().skip(head + 1).position(closes).map_or(lines.len(), |body| head + body + 2)
}

#[test]
fn functions_are_measured_from_head_to_brace() {
    let function = ["    fn a(", "        b: u8,", "    ) {", "        if b {", "        }", "    }", "}"];
    assert!(
        begins_function(function[0]) && begins_function("pub async fn x() {") && !begins_function("// fn")
    );
    assert_eq!(function_length(&function), 6);
    assert_eq!(function_length(&["fn a() {}", "fn b() {", "}"]), 1);
    assert_eq!(function_length(&["    fn declared(&self);", "}"]), 1);
}
