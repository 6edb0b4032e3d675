//! Every verb at a small size, on the real program.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The gateway, built in the profile and the directory of this test.
static GATEWAY: LazyLock<PathBuf> = LazyLock::new(|| {
    let built = Path::new(env!("CARGO_BIN_EXE_bench")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--locked", "--package", "whimbrel", "--bin", "whimbrel"]);
    build.arg("--target-dir").arg(built.parent().unwrap());
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let done = build.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "the gateway does not build: cargo build -p whimbrel\n{said}");
    built.join("whimbrel")
});

/// Runs a verb; what it prints.
fn bench(words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let done = command.args(words).arg("--whimbrel").arg(&*GATEWAY).output().unwrap();
    let (printed, said) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "bench {}: {printed}{said}", words.join(" "));
    printed.into_owned()
}

/// The number behind a title.
fn figure(printed: &str, title: &str) -> f64 {
    let rest = printed.lines().rev().find_map(|line| line.strip_prefix(title));
    let number = rest.and_then(|rest| rest.split_whitespace().next()?.trim_end_matches(',').parse().ok());
    number.unwrap_or_else(|| panic!("no number behind {title:?}:\n{printed}"))
}

#[test]
fn idle_tells_what_unacknowledged_pushes_cost() {
    let printed = bench(&["idle", "--connections", "500", "--unacked", "2", "--bytes", "100"]);
    assert!(printed.contains("2 pushes of 100 B to each connection"), "{printed}");
    assert!(figure(&printed, "per connection") > 0.0, "{printed}");
}

#[test]
fn idle_without_pushes_tells_of_none() {
    let printed = bench(&["idle", "--connections", "500", "--transport", "websocket"]);
    assert!(figure(&printed, "per connection") > 0.0, "{printed}");
    assert!(!printed.contains("unacknowledged"), "{printed}");
}

#[test]
fn chat_counts_what_is_acknowledged() {
    let printed = bench(&["chat", "--pairs", "2", "--seconds", "1"]);
    let rate = printed.lines().find_map(|line| line.strip_prefix("acknowledged")).unwrap().trim();
    assert!(rate.trim_end_matches("/s").parse::<f64>().unwrap() > 0.0, "{printed}");
}

/// Each push of each device is repeated once, read from a conversation of its own, and written.
#[test]
fn repeat_sees_every_repetition() {
    let printed = bench(&["repeat", "--devices", "40", "--unacked", "3", "--bytes", "100"]);
    assert!(printed.contains("120 of 120, to 40 devices"), "{printed}");
    assert!(figure(&printed, "store reads") >= 40.0, "{printed}");
    assert!(figure(&printed, "bytes written") >= 120.0 * 100.0, "{printed}");
}

#[test]
fn repeat_in_one_conversation() {
    let printed = bench(&["repeat", "--devices", "40", "--group"]);
    assert!(printed.contains("40 of 40, to 40 devices"), "{printed}");
}
