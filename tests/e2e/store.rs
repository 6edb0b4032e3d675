//! The data directory: a second process, damage, a disk that cannot be written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::process::{Gateway, PROGRAM, Settings, free_port};
use crate::support::raw::{Raw, text_to};

/// Stores messages and kills the gateway; the conversation's id and how many entries it has.
async fn stored_and_killed(gateway: &mut Gateway) -> (String, usize) {
    let (mut alice, _) = Raw::login(gateway, "alice", "phone").await;
    let mut ack = alice.send(text_to("bob", "first")).await;
    for n in 0..200 {
        ack = alice.send(text_to("bob", &format!("message {n} {}", "x".repeat(500)))).await;
    }
    gateway.kill();
    (ack.conversation, ack.seq as usize)
}

/// Every file below a directory with its bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The file with the most bytes written to it.
fn largest(directory: &Path) -> (PathBuf, Vec<u8>) {
    let written = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default();
    files(directory).into_iter().max_by_key(|(_, bytes)| written(bytes)).unwrap()
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused() {
    let mut gateway = Gateway::start().await;
    let mut second = gateway.command();
    for key in ["tcp.listen", "http.listen"] {
        second.arg("--set").arg(format!("{key}={}", free_port()));
    }
    let output = tokio::task::spawn_blocking(move || second.output().unwrap()).await.unwrap();
    assert!(!output.status.success());
    assert!(text(&output).contains("in use"), "{}", text(&output));
    assert!(gateway.is_alive());
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    alice.send(text_to("bob", "the first one goes on")).await;
}

#[tokio::test]
async fn a_damaged_data_file_is_refused_and_left_as_it_is() {
    let mut gateway = Gateway::start().await;
    stored_and_killed(&mut gateway).await;
    let (path, mut bytes) = largest(&gateway.data());
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for byte in &mut bytes[written / 2..written / 2 + 64] {
        *byte ^= 0x5A;
    }
    fs::write(&path, &bytes).unwrap();
    gateway.spawn();
    let status = gateway.ended().await;
    assert!(!status.success(), "{}", gateway.log());
    assert!(gateway.log().contains("corrupt"), "{}", gateway.log());
    assert_eq!(fs::read(&path).unwrap(), bytes, "{} was changed", path.display());
}

#[tokio::test]
async fn a_torn_tail_loses_nothing_that_was_acked() {
    let mut gateway = Gateway::start().await;
    let (conversation, entries) = stored_and_killed(&mut gateway).await;
    // What a crash in the middle of a write leaves behind the last whole record.
    let (path, bytes) = largest(&gateway.data());
    let written = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let torn = [&bytes[..written], &[1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7]].concat();
    fs::write(&path, torn).unwrap();
    gateway.launch().await;
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    assert_eq!(bob.sync_all(&conversation, 1).await.len(), entries);
    bob.send(text_to("alice", "goes on")).await;
}

#[tokio::test]
async fn a_data_directory_that_is_somebody_elses_is_refused() {
    let mut gateway = Gateway::prepare(Settings::new());
    let store = gateway.data().join("store");
    fs::create_dir_all(&store).unwrap();
    let foreign = store.join("holiday.jpg");
    fs::File::create(&foreign).unwrap().write_all(b"picture").unwrap();
    gateway.spawn();
    assert!(!gateway.ended().await.success());
    assert!(gateway.log().contains("holiday.jpg"), "{}", gateway.log());
    assert_eq!(fs::read(&foreign).unwrap(), b"picture");
}

#[tokio::test]
async fn a_read_only_disk_is_named_in_one_line() {
    let gateway = Gateway::prepare(Settings::new());
    fs::create_dir(gateway.data()).unwrap();
    let (config, data) = (gateway.config(), gateway.data());
    let run = move || {
        read_only(&data).args([PROGRAM, "serve", "--config"]).arg(config).stdin(Stdio::null()).output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot be written") && said.contains("data"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn what_was_stored_stays_whole_on_a_disk_that_became_read_only() {
    let mut gateway = Gateway::start().await;
    let (conversation, entries) = stored_and_killed(&mut gateway).await;
    let before = files(&gateway.data());
    let (config, data) = (gateway.config(), gateway.data());
    let run = move || {
        read_only(&data).args([PROGRAM, "serve", "--config"]).arg(config).stdin(Stdio::null()).output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(files(&gateway.data()) == before, "something was changed");
    gateway.launch().await;
    let (mut bob, _) = Raw::login(&gateway, "bob", "phone").await;
    assert_eq!(bob.sync_all(&conversation, 1).await.len(), entries);
}

/// A command that runs the program named by its arguments with this directory on a file system mounted read-only, in a
/// mount namespace of its own. Where the system allows no such namespace, the directory is only made unwritable,
/// which does not stop root.
fn read_only(directory: &Path) -> Command {
    const REMOUNT: &str = r#"mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@""#;
    let namespaces: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let allowed = |flags: &&&[&str]| {
        let tried = Command::new("unshare").args(**flags).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    if let Some(flags) = namespaces.iter().find(allowed) {
        let mut command = Command::new("unshare");
        command.args(*flags).args(["sh", "-c", REMOUNT]).arg(directory);
        return command;
    }
    let unwritable = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    fs::set_permissions(directory, unwritable).unwrap();
    Command::new("env")
}
