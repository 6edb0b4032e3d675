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
fn serve_without_a_file_says_where_one_comes_from() {
    let output = whimbrel(&["serve"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("auth.keys is empty") && said.contains("whimbrel config default"), "{said}");
    assert!(said.lines().all(|line| line.starts_with("whimbrel: ")), "{said}");
}

#[test]
fn a_level_that_is_none_is_told_beside_the_other_problems() {
    for command in ["serve", "dev"] {
        let output = whimbrel(&[command, "--set", "log.level=loud", "--set", "tcp.listen=0.0.0.0:0"], &[]);
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(said.contains("--set log.level: log.level: \"loud\" is no level"), "{said}");
        assert!(said.contains("tcp.listen = \"0.0.0.0:0\""), "{said}");
    }
}

#[test]
fn a_taken_port_and_a_ca_certificate_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let mut ca = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(directory.path().join("cert.pem"), ca.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), key.serialize_pem()).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = directory.path().join("whimbrel.toml");
    let text = format!(
        "[quic]\nlisten = \"\"\n[tcp]\nlisten = \"{}\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n\
         [[auth.keys]]\nkid = \"a\"\nsecret = \"{SECRET}\"\n",
        taken.local_addr().unwrap()
    );
    std::fs::write(&file, text).unwrap();

    let checked = check(&file, &[]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stderr(&checked).contains("cert.pem is a CA certificate"), "{}", stderr(&checked));

    let data = directory.path().join("data");
    let args = ["serve", "--config", file.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let served = whimbrel(&args, &[]);
    assert_eq!(served.status.code(), Some(1));
    assert!(stderr(&served).trim_end().ends_with("has the port; change tcp.listen"), "{}", stderr(&served));
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
