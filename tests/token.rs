//! `whimbrel token` of the real binary: what it prints is what a gateway accepts.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use connector::auth::{AuthConfig, Key, Verifier};
use protocol::code::Code;
use protocol::v1::Role;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn a_token_of_a_configured_key_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("whimbrel.toml");
    let text = format!(
        "[auth]\nissuer = \"me\"\naudience = \"you\"\n[[auth.keys]]\nkid = \"a\"\nsecret = \"{SECRET}\"\n\
         [[auth.keys]]\nkid = \"b\"\nsecret = \"{OTHER}\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let keys = vec![Key::hs256("a", SECRET.as_bytes()).unwrap(), Key::hs256("b", OTHER.as_bytes()).unwrap()];
    let verifier = Verifier::new(AuthConfig { issuer: "me".into(), audience: "you".into(), keys }).unwrap();

    for kid in [None, Some("a"), Some("b")] {
        let mut args = vec!["token", "--user", "eve", "--tenant", "shop", "--name", "Eve", "--role", "agent"];
        args.extend(["--ttl", "2m", "--config", file]);
        args.extend(kid.into_iter().flat_map(|kid| ["--kid", kid]));
        let token = printed(&whimbrel(&args));
        let verified = verifier.verify(&token, now_ms()).unwrap();
        let identity = verified.identity;
        assert_eq!((identity.tenant.as_str(), identity.user.as_str()), ("shop", "eve"));
        assert_eq!((identity.name.as_str(), identity.role()), ("Eve", Role::Agent));
        assert_eq!(verifier.verify(&token, now_ms() + 126_000), Err(Code::TOKEN_EXPIRED));
    }
    let unknown = whimbrel(&["token", "--user", "eve", "--tenant", "shop", "--config", file, "--kid", "c"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no key with kid \"c\""), "{}", stderr(&unknown));
}

#[test]
fn dev_prints_tokens_that_token_and_the_page_also_give() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (mut dev, block) = start_dev(&data);
    let secret = std::fs::read_to_string(data.join("dev-secret")).unwrap();
    let keys = vec![Key::hs256("dev", secret.as_bytes()).unwrap()];
    let auth = AuthConfig { issuer: "whimbrel-dev".into(), audience: "whimbrel".into(), keys };
    let verifier = Verifier::new(auth).unwrap();

    let line = block.lines().find(|line| line.starts_with("  ada ")).unwrap();
    let from_block = line.rsplit(' ').next().unwrap().to_owned();
    let args = ["token", "--user", "ada", "--data", data.to_str().unwrap()];
    let from_command = printed(&whimbrel(&args));
    let page = block.lines().find_map(|line| line.trim().strip_prefix("page   http://")).unwrap();
    let offered = get(page, page, "/dev/users");
    assert!(offered.starts_with("HTTP/1.1 200 "), "{offered}");
    let from_page = offered.split("\"user\":\"ada\"").nth(1).unwrap().split("\"token\":\"").nth(1).unwrap();
    for token in [&from_block, &from_command, from_page.split('"').next().unwrap()] {
        let identity = verifier.verify(token, now_ms()).unwrap().identity;
        assert_eq!((identity.tenant.as_str(), identity.user.as_str()), ("demo", "ada"));
        assert_eq!((identity.name.as_str(), identity.role()), ("Ada (support)", Role::Agent));
    }
    let foreign = get(page, "evil.example", "/dev/users");
    assert!(foreign.starts_with("HTTP/1.1 403 ") && !foreign.contains("eyJ"), "{foreign}");

    let second = whimbrel(&["dev", "--tcp", "0", "--http", "0", "--data", data.to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(1));
    let said = stderr(&second);
    assert!(said.contains("is in use by process") && said.contains("--data DIR"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let taken = directory.path().join("other");
    let port = page.rsplit(':').next().unwrap();
    let clash = whimbrel(&["dev", "--tcp", "0", "--http", port, "--data", taken.to_str().unwrap()]);
    assert_eq!(clash.status.code(), Some(1));
    let said = stderr(&clash);
    assert!(said.contains("another program has the port") && said.contains("--http PORT"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    assert!(stop(&mut dev).success());
    let (mut again, _) = start_dev(&data);
    assert_eq!(std::fs::read_to_string(data.join("dev-secret")).unwrap(), secret);
    assert!(stop(&mut again).success());
}

#[test]
fn refusals_are_one_line_that_says_the_fix() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent");
    let output = whimbrel(&["token", "--user", "alice", "--data", absent.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("start `whimbrel dev` first") && said.lines().count() == 1, "{said}");
    assert!(!absent.exists());
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for args in [
        &["token"][..],
        &["token", "--user", "a", "--role", "owner"],
        &["token", "--user", "a", "--ttl", "soon"],
        &["token", "--user", "a", "--kid", "b"],
        &["token", "--user", "a", "--config", "f"],
        &["serve", "--set", "nonsense"],
        &["unknown"],
    ] {
        let output = whimbrel(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

fn whimbrel(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_whimbrel")).args(args).env_clear().output().unwrap()
}

/// A running `whimbrel dev` on free ports and what it printed.
fn start_dev(data: &Path) -> (Killed, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    command.args(["dev", "--tcp", "0", "--http", "0", "--data"]).arg(data).env_clear();
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut block = String::new();
    let mut lines = BufReader::new(child.0.stdout.take().unwrap());
    // The last line of the block; the end of the output if it does not start.
    while !block.contains("Ctrl-C") {
        assert!(lines.read_line(&mut block).unwrap() > 0, "it ended: {block}");
    }
    (child, block)
}

/// Asks it to stop and waits for it.
fn stop(dev: &mut Killed) -> std::process::ExitStatus {
    let id = dev.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    dev.0.wait().unwrap()
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Nothing to do about one that has ended.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// One request over a connection of its own: the answer, head and body.
fn get(address: &str, host: &str, path: &str) -> String {
    // The page is bound on 127.0.0.1; `localhost` may be ::1 too.
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap().trim().to_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}
