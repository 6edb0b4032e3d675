//! Servers do not outlive the program that started them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use whimbrel_servers::shared::ZOOKEEPER_VARIABLE;
use whimbrel_servers::zookeeper::word;

const PATIENCE: Duration = Duration::from_secs(20);

/// The program that serves whoever started it, and the server's address.
fn start(temporary: &Path) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel-servers"));
    command.arg("zookeeper").env("TMPDIR", temporary).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // To its last line: the program fails if it cannot print.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<String> = lines.map(Result::unwrap).take_while(|line| line != "ready").collect();
    let address = lines[0].strip_prefix(&format!("{ZOOKEEPER_VARIABLE}=")).unwrap().to_owned();
    (child, address)
}

async fn gone(temporary: &Path, address: &str) {
    let begun = Instant::now();
    let left = || std::fs::read_dir(temporary).unwrap().count();
    while word(address, "ruok").await.is_ok() || left() > 0 {
        assert!(begun.elapsed() < PATIENCE, "the server still runs, or its directory is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn they_end_with_a_program_that_is_killed() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, address) = start(temporary.path());
    assert_eq!(word(&address, "ruok").await.unwrap(), "imok");
    child.kill().unwrap();
    child.wait().unwrap();
    gone(temporary.path(), &address).await;
}

#[tokio::test]
async fn they_end_when_the_input_of_the_program_does() {
    let temporary = tempfile::tempdir().unwrap();
    let (mut child, address) = start(temporary.path());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    gone(temporary.path(), &address).await;
}
