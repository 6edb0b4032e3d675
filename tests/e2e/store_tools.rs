//! `whimbrel store`: check, copy, migrate, on what a gateway has stored.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use storage::log::{Append, AppendOutcome, Entry, EntryKind};
use storage::{ConversationKey, EmbeddedConfig, EmbeddedStore, Log};

use crate::support::process::{Gateway, PROGRAM, Settings};
use crate::support::raw::{Raw, text_to};
use crate::support::tokens::TENANT;

/// Runs `whimbrel store` with these words.
async fn store(words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("store").args(words).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Exit code, the last line of standard output, everything that was said.
fn told(output: &Output) -> (Option<i32>, String, String) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = out.lines().last().unwrap_or_default().to_owned();
    (output.status.code(), last, out + &String::from_utf8_lossy(&output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a gateway has stored: ten messages of alice to bob, who has read some.
async fn stored() -> (Gateway, String) {
    let mut gateway = Gateway::start().await;
    let (mut alice, _) = Raw::login(&gateway, "alice", "phone").await;
    let mut ack = alice.send(text_to("bob", "hi")).await;
    for n in 0..9 {
        ack = alice.send(text_to("bob", &format!("message {n}"))).await;
    }
    let (_bob, _) = Raw::login(&gateway, "bob", "phone").await;
    gateway.stop().await;
    (gateway, ack.conversation)
}

#[tokio::test]
async fn a_check_finds_nothing_and_then_what_was_planted() {
    let (gateway, conversation) = stored().await;
    let config = gateway.config();
    let check = ["check", "--config", text(&config)];
    let (code, last, said) = told(&store(&check).await);
    // The direct conversation begins with the entry by which both join.
    assert_eq!((code, last.as_str()), (Some(0), "conversations=1 entries=11 findings=0"), "{said}");

    plant(&gateway.data().join("store"), &conversation).await;
    let (code, last, said) = told(&store(&check).await);
    assert_eq!((code, last.as_str()), (Some(1), "conversations=1 entries=12 findings=1"), "{said}");
    let finding = format!("undecodable {TENANT}/{conversation}: entry 12 is no message");
    assert!(said.contains(&finding), "{said}");

    let range = [&check[..], &["--tenant", TENANT, "--conversation", &conversation, "--to", "11"]].concat();
    let (code, last, said) = told(&store(&range).await);
    assert_eq!((code, last.as_str()), (Some(0), "conversations=1 entries=11 findings=0"), "{said}");
}

/// An entry that is no message.
async fn plant(directory: &Path, conversation: &str) {
    let store = EmbeddedStore::open(EmbeddedConfig::new(directory)).unwrap();
    let key = ConversationKey::new(TENANT, conversation);
    let opened = Log::open(&store, &key).await.unwrap();
    let users = opened.members.iter().map(|row| row.user.as_str().into()).collect();
    let append = Append {
        key,
        epoch: opened.epoch,
        expected_tip: opened.tip,
        batch: [9; 16],
        at_ms: 1,
        entries: vec![Entry::new([0xFF; 3].to_vec().into(), "", EntryKind::Shown, None)],
        members: Vec::new(),
        active: users,
        info: None,
    };
    assert_eq!(store.append(append).await, AppendOutcome::Applied);
}

#[tokio::test]
async fn a_copy_serves_as_the_original_did() {
    let (mut from, conversation) = stored().await;
    let mut to = Gateway::prepare(Settings::new());
    let (source, target) = (from.config(), to.config());
    let copy = ["copy", "--from", text(&source), "--to", text(&target), "--tenant", TENANT];
    let whole = "conversations=1 entries=11 users=2 devices=2";
    for (now, before) in [(11, 0), (0, 11)] {
        let (code, last, said) = told(&store(&copy).await);
        assert_eq!((code, last.as_str()), (Some(0), whole), "{said}");
        assert!(said.contains(&format!("{now} entries were copied now, {before} were there")), "{said}");
    }
    let (code, last, said) = told(&store(&["check", "--config", text(&target)]).await);
    assert_eq!((code, last.as_str()), (Some(0), "conversations=1 entries=11 findings=0"), "{said}");

    to.launch().await;
    from.launch().await;
    let (mut bob, there) = Raw::login(&to, "bob", "phone").await;
    let (mut at_home, here) = Raw::login(&from, "bob", "phone").await;
    assert_eq!(there.device_id, here.device_id, "the same device");
    assert_eq!(bob.sync_all(&conversation, 1).await, at_home.sync_all(&conversation, 1).await);
    assert_eq!(bob.send(text_to("alice", "goes on")).await.seq, 12);
    to.stop().await;

    // The copy has gone on, so it is one no more.
    from.stop().await;
    let (code, _, said) = told(&store(&copy).await);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("the target has 12 entries and the source 11"), "{said}");
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_one_line() {
    let gateway = Gateway::start().await;
    let config = gateway.config();
    let (code, _, said) = told(&store(&["check", "--config", text(&config)]).await);
    assert!(code == Some(1) && said.contains("in use"), "{said}");

    let nothing = Gateway::prepare(Settings::new());
    let empty = nothing.config();
    let (code, _, said) = told(&store(&["check", "--config", text(&empty)]).await);
    assert!(code == Some(1) && said.contains("there is no store in"), "{said}");
    assert!(!nothing.data().exists(), "and none was made");

    let same = ["copy", "--from", text(&config), "--to", text(&config), "--tenant", TENANT];
    let (code, _, said) = told(&store(&same).await);
    assert!(code == Some(1) && said.contains("both files name the same store"), "{said}");

    let (code, last, said) = told(&store(&["migrate", "--config", text(&config)]).await);
    assert!(code == Some(0) && last.starts_with("nothing to do"), "{said}");
}
