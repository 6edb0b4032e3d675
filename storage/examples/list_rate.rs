//! What a login reads of a user's conversations: `cargo run --release -p whimbrel-storage --example list_rate --
//! [conversations] [changed] [large] [directory]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a tool that prints or fails")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::v1::Role;
use tokio::task::JoinSet;
use whimbrel_storage::directory::{Directory, Listing, Place};
use whimbrel_storage::log::{Append, AppendOutcome, Entry, EntryKind, Log, Users};
use whimbrel_storage::member::MemberRow;
use whimbrel_storage::{ConversationKey, EmbeddedConfig, EmbeddedStore};

/// Rows of a page.
const PAGE: usize = 100;
/// Members of a large conversation.
const MANY: usize = 1_000;
/// How often each read is made; the fastest is told.
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize, default: usize| args.get(at).map_or(default, |text| text.parse().unwrap());
    let (conversations, changed, large) = (number(1, 10_000), number(2, 20), number(3, 50));
    let path = args.get(4).cloned().unwrap_or_else(|| format!("list-rate-{}", std::process::id()));
    let store = Arc::new(EmbeddedStore::open(EmbeddedConfig::new(&path)).unwrap());
    let mut tasks = JoinSet::new();
    for number in 0..conversations {
        let members = if number < large { MANY } else { 2 };
        tasks.spawn(say(store.clone(), number, members, true));
        if tasks.len() > 500 {
            tasks.join_next().await;
        }
    }
    tasks.join_all().await;
    let since = store.listed("tenant", "ann", Listing::Latest { before: None }, 1).await.unwrap().version;
    for number in 0..changed {
        say(store.clone(), large + number * 7, 2, false).await;
    }

    println!("{conversations} conversations of one user, {large} of them large, {changed} changed");
    told("all, in one read", || async { store.memberships("tenant", "ann").await.unwrap().len() }).await;
    told("the latest page", || async {
        store.listed("tenant", "ann", Listing::Latest { before: None }, PAGE).await.unwrap().rows.len()
    })
    .await;
    told("what changed", || async {
        let after = Place { version: since + 1, conversation: String::new() };
        store.listed("tenant", "ann", Listing::Changed { after }, PAGE).await.unwrap().rows.len()
    })
    .await;
    store.close().await;
    drop(store);
    std::fs::remove_dir_all(path).unwrap();
}

async fn told<F: Future<Output = usize>>(what: &str, read: impl Fn() -> F) {
    let (mut fastest, mut rows) = (Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        rows = read().await;
        fastest = fastest.min(begun.elapsed());
    }
    println!("{what}: {rows} rows in {fastest:?}");
}

/// One entry in a conversation; the first makes its members.
async fn say(store: Arc<EmbeddedStore>, number: usize, members: usize, first: bool) {
    let key = ConversationKey::new("tenant", format!("conversation {number}"));
    let opened = store.open(&key).await.unwrap();
    let users: Vec<String> =
        (1..members).map(|member| format!("user {member}")).chain(["ann".into()]).collect();
    let active: Users = users.iter().map(|user| user.as_str().into()).collect();
    let members = users.into_iter().map(|user| MemberRow::join(user, Role::Member, 1));
    let entry =
        Entry { payload: vec![7; 200].into(), sender: "ben".into(), slot: None, kind: EntryKind::Shown };
    let append = Append {
        key: key.clone(),
        epoch: opened.epoch,
        expected_tip: opened.tip,
        batch: [1; 16],
        at_ms: 0,
        entries: vec![entry],
        members: if first { members.collect() } else { Vec::new() },
        active,
        info: None,
    };
    assert_eq!(store.append(append).await, AppendOutcome::Applied);
}
