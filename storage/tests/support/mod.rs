//! A store with a little of everything in it, and a check that all of it is there.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use idgen::{DeviceId, DeviceType, Stamp, WorkerNumber};
use protocol::v1::{ConversationInfo, Role};
use whimbrel_storage::directory::{DeviceKey, Directory, UserInfo};
use whimbrel_storage::log::{Append, AppendOutcome, Entry, EntryKind, Log, ReadRange, SenderSlotOf};
use whimbrel_storage::member::{Cursors, MemberRow};
use whimbrel_storage::{ConversationKey, EmbeddedConfig, EmbeddedStore, StoreError};

pub const CONVERSATIONS: usize = 6;

/// So little memory that tables are written and merged all the while.
pub fn tight(dir: &Path) -> EmbeddedConfig {
    EmbeddedConfig { memtable_bytes: 16 * 1024, cache_bytes: 64 * 1024, ..EmbeddedConfig::new(dir) }
}

pub fn key(conversation: usize) -> ConversationKey {
    ConversationKey::new("tenant", format!("conversation {conversation}"))
}

pub fn all() -> ReadRange {
    ReadRange { first: 1, last: u64::MAX, backwards: false, max_entries: usize::MAX, max_bytes: usize::MAX }
}

/// What entry `seq` of a conversation says, 20 to 320 bytes.
pub fn payload(conversation: usize, seq: u64) -> Bytes {
    let filling = "~".repeat((seq as usize * 37) % 300);
    Bytes::from(format!("entry {seq} of {conversation} {filling}"))
}

/// An append of `count` entries with a member, a slot and a sender.
pub fn append(conversation: usize, epoch: u64, tip: u64, count: u64) -> Append {
    let entry = |seq| Entry {
        payload: payload(conversation, seq),
        sender: "ann".into(),
        slot: Some(SenderSlotOf { device: 7, slot: (seq % 128) as u8, client_msg_id: id(seq) }),
        kind: EntryKind::Shown,
    };
    Append {
        key: key(conversation),
        epoch,
        expected_tip: tip,
        batch: id(tip + 1),
        at_ms: (tip + count) as i64,
        entries: (tip + 1..=tip + count).map(entry).collect(),
        members: vec![MemberRow::join("ann", Role::Member, tip + 1)],
        active: ["ann".into()].into(),
        info: (tip == 0).then(|| ConversationInfo { kind: 0, title: conversation.to_string() }),
    }
}

fn id(number: u64) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

/// Appends up to `tip` in every conversation and fills the directory.
pub async fn fill(store: &EmbeddedStore, tip: u64) {
    for conversation in 0..CONVERSATIONS {
        let opened = Log::open(store, &key(conversation)).await.unwrap();
        let mut at = opened.tip;
        while at < tip {
            let count = 5.min(tip - at);
            let outcome = store.append(append(conversation, opened.epoch, at, count)).await;
            assert_eq!(outcome, AppendOutcome::Applied);
            at += count;
        }
        let to = Cursors { read: tip - 1, delivered: tip, sent: 0 };
        store.raise_cursors(&key(conversation), "ann", to).await.unwrap();
    }
    for number in 0..20u32 {
        store.put_user("tenant", &number.to_string(), user(number)).await.unwrap();
        store.device(&device(number), Some(device_id(number))).await.unwrap();
    }
}

fn user(number: u32) -> UserInfo {
    UserInfo { name: format!("User {number}"), role: Role::Agent }
}

fn device(number: u32) -> DeviceKey {
    let user = number.to_string();
    DeviceKey { tenant: "tenant".into(), user, device_type: 1, installation: "phone".into() }
}

fn device_id(number: u32) -> DeviceId {
    DeviceId::new(WorkerNumber::new(3).unwrap(), DeviceType::WEB, Stamp::new(number + 1, 0).unwrap())
}

/// Everything that [`fill`] wrote is there, or some read says that it is damaged.
pub fn check(store: &EmbeddedStore, tip: u64) -> BoxFuture<'_, Result<(), StoreError>> {
    async move {
        for conversation in 0..CONVERSATIONS {
            assert_eq!(check_log(store, conversation).await?, tip, "{}", key(conversation));
            let cursors = store.cursors(&key(conversation), &["ann".into()]).await?;
            assert_eq!(cursors, [Cursors { read: tip - 1, delivered: tip, sent: tip }]);
        }
        let memberships = store.memberships("tenant", "ann").await?;
        assert_eq!(memberships.len(), CONVERSATIONS);
        assert!(memberships.iter().all(|membership| membership.tip == tip));
        for number in 0..20u32 {
            assert_eq!(store.users("tenant", &[number.to_string()]).await?, [Some(user(number))]);
            assert_eq!(store.device(&device(number), None).await?, Some(device_id(number)));
        }
        assert_eq!(store.last_device(WorkerNumber::new(3).unwrap()).await?, Some(device_id(19)));
        Ok(())
    }
    .boxed()
}

/// The tip of a log, in which everything up to it is as it was written.
pub async fn check_log(store: &EmbeddedStore, conversation: usize) -> Result<u64, StoreError> {
    let key = key(conversation);
    let (opened, tip) = (Log::open(store, &key).await?, store.tip(&key).await?);
    assert_eq!(opened.tip, tip);
    for backwards in [false, true] {
        let entries = store.read(&key, ReadRange { backwards, ..all() }).await?;
        assert_eq!(entries.len() as u64, tip, "{key}");
        for (seq, entry) in (1..).zip(entries) {
            assert_eq!((entry.seq, entry.payload), (seq, payload(conversation, seq)));
        }
    }
    if tip > 0 {
        let info = opened.info.expect("stored with the first entry");
        assert_eq!(info.title, conversation.to_string());
        let joined = opened.members[0].spans[0].from;
        assert_eq!((opened.members.len(), opened.last_batch), (1, id(joined)), "of the latest append");
        let slots = store.sender(&key, 7).await?;
        assert_eq!(slots.len() as u64, tip.min(128));
        assert!(slots.iter().all(|slot| slot.seq + 128 > tip && slot.client_msg_id == id(slot.seq)));
        let member = store.member(&key, "ann").await?.expect("a member");
        assert_eq!((member.tip, member.tip_at_ms, member.cursors.sent), (tip, tip as i64, tip));
    }
    Ok(tip)
}

/// Every file under `dir`.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The engine's journals, oldest first.
pub fn journals(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        files(dir).into_iter().filter(|path| path.extension().is_some_and(|name| name == "jnl")).collect();
    found.sort_by_key(|path| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap());
    found
}

/// A file without the zeros that it was allocated with.
pub fn written(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(path).unwrap();
    bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1));
    bytes
}

/// A copy of a directory.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &name) } else { _ = fs::copy(&path, &name).unwrap() }
    }
}
