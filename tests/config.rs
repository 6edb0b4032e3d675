//! The configuration commands of the real binary.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn the_default_file_lacks_only_what_has_no_default() {
    let directory = tempfile::tempdir().unwrap();
    let printed = whimbrel(&["config", "default"], &[]);
    assert!(printed.status.success());
    let file = directory.path().join("whimbrel.toml");
    std::fs::write(&file, &printed.stdout).unwrap();

    let checked = check(&file, &[]);
    assert_eq!(checked.status.code(), Some(1));
    let said = stderr(&checked);
    assert!(said.contains("quic.listen needs a certificate"), "{said}");
    assert!(said.contains("auth.keys is empty"), "{said}");
    assert!(said.trim_end().ends_with("has 2 problems"), "{said}");

    let key = format!("[{{kid = \"a\", secret = \"{SECRET}\"}}]");
    let checked = check(&file, &[("WHIMBREL_AUTH__KEYS", &key), ("WHIMBREL_QUIC__LISTEN", "")]);
    assert_eq!((checked.status.code(), stdout(&checked).as_str()), (Some(0), "OK\n"), "{}", stderr(&checked));
}

#[test]
fn every_problem_is_printed_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    std::fs::write(&file, "[tcp]\nlisen = \"127.0.0.1:7400\"\n\n[limits]\nheartbeat_ms = 0\n").unwrap();
    let checked = check(&file, &[]);
    assert_eq!(checked.status.code(), Some(1));
    let (said, name) = (stderr(&checked), file.display());
    assert!(
        said.contains(&format!("{name}:2:1: unknown key `lisen` in [tcp]; did you mean `listen`?")),
        "{said}"
    );
    assert!(said.contains(&format!("{name}:5:16: limits.heartbeat_ms: 0 is out of range")), "{said}");
    assert_eq!(stdout(&checked), "");
}

#[test]
fn serve_refuses_what_check_config_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("plain.toml");
    let text = format!(
        "[quic]\nlisten = \"\"\n[tcp]\nlisten = \"0.0.0.0:0\"\n[[auth.keys]]\nkid = \"a\"\nsecret = \"{SECRET}\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let data = directory.path().join("data");
    let args = ["serve", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    for output in [whimbrel(&args, &[]), check(&file, &[])] {
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("plain.toml:4:10: tcp.listen = \"0.0.0.0:0\" takes unencrypted"), "{said}");
        assert!(!said.contains(SECRET), "{said}");
    }
    assert!(!data.exists(), "a refused start leaves nothing behind");
}

#[test]
fn a_file_that_is_not_there_is_one_line() {
    let output = whimbrel(&["serve", "--config", "/does/not/exist.toml"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("/does/not/exist.toml: cannot be read"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn check(file: &Path, environment: &[(&str, &str)]) -> Output {
    whimbrel(&["check-config", file.to_str().unwrap()], environment)
}

fn whimbrel(args: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    command.args(args).env_clear().envs(environment.iter().copied());
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
