//! `whimbrel token` of the real binary: what it prints is what a gateway accepts.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};
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
    let unknown = whimbrel(&["token", "--user", "eve", "--config", file, "--kid", "c"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no key with kid \"c\""), "{}", stderr(&unknown));
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
