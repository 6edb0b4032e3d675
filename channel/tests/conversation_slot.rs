//! The task that performs what conversations want: over the embedded store, with faults put between.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use idgen::{DeviceId, WorkerNumber};
use parking_lot::Mutex;
use prost::Message as _;
use protocol::code::Code;
use protocol::node::v1::{Push, to_connector};
use protocol::v1::{self, Send, client_frame::Body as Ask, server_frame::Body};
use storage::directory::{DeviceKey, Listed, Listing, Membership, UserInfo};
use storage::embedded::EmbeddedStore;
use storage::log::{Append, AppendOutcome, Opened, ReadRange, SenderSlot, StoredEntry};
use storage::member::{Cursors, MemberRow};
use storage::{ConversationKey, Directory, Log, StoreError};
use support::*;

/// What goes wrong with the next append, or the next opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    StoredButUnknown,
    LostAndUnknown,
    Refused,
    Open,
}

/// The embedded store with faults in front of it.
struct Faulty {
    inner: Arc<EmbeddedStore>,
    faults: Mutex<VecDeque<Fault>>,
    opens: AtomicU64,
    looks: AtomicU64,
}

impl Faulty {
    fn takes(&self, is_one: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock();
        if faults.front().is_some_and(|&fault| is_one(fault)) { faults.pop_front() } else { None }
    }

    async fn append_with(&self, fault: Fault, append: Append) -> AppendOutcome {
        match fault {
            Fault::StoredButUnknown => {
                assert_eq!(self.inner.append(append).await, AppendOutcome::Applied);
                AppendOutcome::Unknown(broken())
            }
            Fault::LostAndUnknown => AppendOutcome::Unknown(broken()),
            Fault::Refused | Fault::Open => AppendOutcome::Refused(StoreError::Overloaded),
        }
    }
}

fn broken() -> StoreError {
    StoreError::Unavailable("test".into())
}

impl Log for Faulty {
    fn open<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<Opened, StoreError>> {
        self.opens.fetch_add(1, Ordering::Relaxed);
        match self.takes(|fault| fault == Fault::Open) {
            Some(_) => Box::pin(async { Err(broken()) }),
            None => self.inner.open(key),
        }
    }

    fn append(&self, append: Append) -> BoxFuture<'_, AppendOutcome> {
        match self.takes(|fault| fault != Fault::Open) {
            Some(fault) => Box::pin(self.append_with(fault, append)),
            None => self.inner.append(append),
        }
    }

    fn sender<'a>(
        &'a self,
        key: &'a ConversationKey,
        device: u64,
    ) -> BoxFuture<'a, Result<Vec<SenderSlot>, StoreError>> {
        self.inner.sender(key, device)
    }

    fn read<'a>(
        &'a self,
        key: &'a ConversationKey,
        range: ReadRange,
    ) -> BoxFuture<'a, Result<Vec<StoredEntry>, StoreError>> {
        self.inner.read(key, range)
    }

    fn tip<'a>(&'a self, key: &'a ConversationKey) -> BoxFuture<'a, Result<u64, StoreError>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        self.inner.tip(key)
    }
}

impl Directory for Faulty {
    fn device<'a>(
        &'a self,
        key: &'a DeviceKey,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>> {
        self.inner.device(key, candidate)
    }

    fn last_device(&self, worker: WorkerNumber) -> BoxFuture<'_, Result<Option<DeviceId>, StoreError>> {
        self.inner.last_device(worker)
    }

    fn put_user<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        info: UserInfo,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.put_user(tenant, user, info)
    }

    fn users<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<UserInfo>>, StoreError>> {
        self.inner.users(tenant, users)
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        listing: Listing,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listed, StoreError>> {
        self.inner.listed(tenant, user, listing, limit)
    }

    fn memberships<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Membership>, StoreError>> {
        self.inner.memberships(tenant, user)
    }

    fn member<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Option<Membership>, StoreError>> {
        self.inner.member(key, user)
    }

    fn members<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<MemberRow>, StoreError>> {
        self.inner.members(key, after, limit)
    }

    fn cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Cursors>, StoreError>> {
        self.inner.cursors(key, users)
    }

    fn raise_cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
        to: Cursors,
    ) -> BoxFuture<'a, Result<Cursors, StoreError>> {
        self.inner.raise_cursors(key, user, to)
    }
}

/// A device of "alice" on a node whose store fails as told.
struct Scene {
    faulty: Arc<Faulty>,
    world: World,
    connector: Connector,
    alice: Device,
    /// Holds the store's directory.
    _base: World,
}

impl Scene {
    async fn new() -> Scene {
        let base = World::new().await;
        let (inner, faults) = (base.store.clone(), Mutex::default());
        let faulty = Arc::new(Faulty { inner, faults, opens: AtomicU64::new(0), looks: AtomicU64::new(0) });
        let world = World::wrapped(base.store.clone(), faulty.clone()).await;
        let mut connector = world.connector(3);
        let alice = connector.login("alice", "phone").await;
        Scene { faulty, world, connector, alice, _base: base }
    }

    fn fail(&self, faults: &[Fault]) {
        self.faulty.faults.lock().extend(faults);
    }

    async fn ask(&mut self, body: Ask) -> Told {
        let alice = self.alice.clone();
        told(self.connector.ask(&alice, body).await)
    }

    async fn tip(&self, user: &str) -> u64 {
        let name = protocol::names::direct("alice", user);
        self.world.store.tip(&ConversationKey::new(TENANT, name)).await.unwrap()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Ack { seq: u64, duplicate: bool },
    No(Code),
    Cursor(u64),
}

fn told(body: Body) -> Told {
    match body {
        Body::SendAck(ack) => Told::Ack { seq: ack.seq, duplicate: ack.duplicate },
        Body::Error(error) => Told::No(Code::from_number(error.code).unwrap()),
        Body::Cursor(cursor) => Told::Cursor(cursor.read),
        other => panic!("not an answer: {other:?}"),
    }
}

fn say(to_user: &str, n: u32) -> Ask {
    let content = v1::Content { r#type: "text/plain".into(), data: "hello".into() };
    let client_msg_id = u128::from(n).to_be_bytes().to_vec().into();
    Ask::Send(Send { to_user: to_user.into(), client_msg_id, content: Some(content), ..Send::default() })
}

const fn ack(seq: u64) -> Told {
    Told::Ack { seq, duplicate: false }
}

const fn again(seq: u64) -> Told {
    Told::Ack { seq, duplicate: true }
}

#[tokio::test]
async fn what_is_not_there_is_not_taken_over() {
    let mut scene = Scene::new().await;
    let mark = v1::Mark { conversation: "nowhere".into(), read: 1, ..Default::default() };
    assert_eq!(scene.ask(Ask::Mark(mark)).await, Told::No(Code::NOT_FOUND));
    let Ask::Send(send) = say("", 1) else { unreachable!("a send") };
    let send = Send { conversation: "d:bob~carol".into(), ..send };
    assert_eq!(scene.ask(Ask::Send(send)).await, Told::No(Code::NOT_FOUND));
    assert_eq!(scene.faulty.opens.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_not_stored_asks_the_store_once() {
    let unstored = |n| {
        let Ask::Send(send) = say("bob", n) else { unreachable!("a send") };
        Ask::Send(Send { no_store: true, ..send })
    };
    let mut scene = Scene::new().await;
    for n in 1..=3 {
        assert_eq!(scene.ask(unstored(n)).await, ack(0));
    }
    assert_eq!(scene.faulty.looks.load(Ordering::Relaxed), 1);
    assert_eq!(scene.ask(say("bob", 4)).await, ack(2), "what is stored opens the log");
    assert_eq!(scene.ask(unstored(5)).await, ack(0));
    assert_eq!((scene.faulty.looks.load(Ordering::Relaxed), scene.tip("bob").await), (2, 2));
    for n in 1..=2 {
        let Ask::Send(send) = unstored(n) else { unreachable!("a send") };
        let send = Send { conversation: "d:bob~carol".into(), to_user: String::new(), ..send };
        assert_eq!(scene.ask(Ask::Send(send)).await, Told::No(Code::NOT_FOUND));
    }
    assert_eq!(scene.faulty.looks.load(Ordering::Relaxed), 4, "nothing is kept of what others may see");
}

#[tokio::test]
async fn lost_outcomes_are_settled_and_nothing_is_stored_twice() {
    let mut scene = Scene::new().await;
    scene.fail(&[Fault::StoredButUnknown]);
    assert_eq!(scene.ask(say("bob", 1)).await, ack(2));
    scene.fail(&[Fault::LostAndUnknown, Fault::StoredButUnknown]);
    assert_eq!(scene.ask(say("bob", 2)).await, ack(3));
    assert_eq!(scene.ask(say("bob", 1)).await, again(2));
    assert_eq!(scene.tip("bob").await, 3);
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_found_by_the_retry() {
    let mut scene = Scene::new().await;
    scene.fail(&[Fault::StoredButUnknown, Fault::Open]);
    assert_eq!(scene.ask(say("bob", 1)).await, Told::No(Code::OUTCOME_UNKNOWN));
    assert_eq!(scene.ask(say("bob", 1)).await, again(2));
    scene.fail(&[Fault::LostAndUnknown, Fault::Open]);
    assert_eq!(scene.ask(say("bob", 2)).await, Told::No(Code::OUTCOME_UNKNOWN));
    assert_eq!(scene.ask(say("bob", 2)).await, ack(3));
}

#[tokio::test]
async fn what_the_store_refuses_may_be_tried_again() {
    let mut scene = Scene::new().await;
    scene.fail(&[Fault::Open, Fault::Refused]);
    assert_eq!(scene.ask(say("bob", 1)).await, Told::No(Code::UNAVAILABLE));
    assert_eq!(scene.ask(say("bob", 1)).await, Told::No(Code::OVERLOADED));
    assert_eq!(scene.tip("bob").await, 0);
    assert_eq!(scene.ask(say("bob", 1)).await, ack(2));
    let conversation = protocol::names::direct("alice", "bob");
    let mark = v1::Mark { conversation, read: 9, ..Default::default() };
    assert_eq!(scene.ask(Ask::Mark(mark.clone())).await, Told::Cursor(2));
    let lower = v1::Mark { read: 1, ..mark };
    assert_eq!(scene.ask(Ask::Mark(lower)).await, Told::Cursor(2));
}

#[tokio::test]
async fn what_arrives_while_a_log_is_being_opened_keeps_its_order() {
    let mut scene = Scene::new().await;
    for n in 1..=50 {
        let identity = identity(TENANT, "alice");
        scene.connector.send(identity, &scene.alice, u64::from(n), Some(say("bob", n)));
    }
    for n in 1..=50 {
        let to_connector::Body::Reply(reply) = scene.connector.next().await else { panic!("not a reply") };
        let frame = <v1::ServerFrame as prost::Message>::decode(reply.frame).unwrap();
        assert_eq!((frame.re, told(frame.body.unwrap())), (n, ack(n + 1)));
    }
}

#[tokio::test]
async fn more_conversations_than_a_task_holds_are_opened_again_when_needed() {
    const MANY: u32 = 1_100;
    let mut scene = Scene::new().await;
    for n in 0..MANY {
        assert_eq!(scene.ask(say(&format!("user-{n}"), n)).await, ack(2));
    }
    assert_eq!(scene.faulty.opens.load(Ordering::Relaxed), u64::from(MANY));
    // The first was let go and is found again; the last is still held.
    assert_eq!(scene.ask(say(&format!("user-{}", MANY - 1), MANY - 1)).await, again(2));
    assert_eq!(scene.faulty.opens.load(Ordering::Relaxed), u64::from(MANY));
    assert_eq!(scene.ask(say("user-0", 0)).await, again(2));
    assert_eq!(scene.faulty.opens.load(Ordering::Relaxed), u64::from(MANY) + 1);
}

#[tokio::test]
async fn a_push_goes_once_to_each_connector_and_not_to_its_sender() {
    let Scene { mut connector, alice, world, .. } = Scene::new().await;
    let mut other = world.connector(4);
    let laptop = connector.login("alice", "laptop").await;
    let bob = connector.login("bob", "phone").await;
    let carol = other.login("carol", "phone").await;
    let stranger = other.login("dave", "phone").await;
    let members =
        ["alice", "bob", "carol"].map(|user| v1::NewMember { user: user.into(), ..Default::default() });
    world.node.create_conversation(TENANT, "room", "Room", members.into()).await.unwrap();
    connector.arrived();
    other.arrived();
    let Ask::Send(send) = say("", 1) else { unreachable!("a send") };
    let send = Ask::Send(Send { conversation: "room".into(), ..send });
    assert_eq!(told(connector.ask(&alice, send).await), ack(2));
    let (here, there) = (push(connector.next().await), push(other.next().await));
    assert_eq!(here.frame, there.frame);
    assert_eq!((&here.conversation[..], here.seq), (&b"room"[..], 2));
    let devices = |push: &Push| {
        push.targets.iter().map(|target| (target.device_id, target.epoch)).collect::<BTreeSet<_>>()
    };
    assert_eq!(devices(&here), [(laptop.id, laptop.epoch), (bob.id, bob.epoch)].into());
    assert_eq!(devices(&there), [(carol.id, carol.epoch)].into());
    assert!(connector.arrived().is_empty() && other.arrived().is_empty());
    assert_ne!(stranger.id, carol.id);
}

/// What is stored though its sender was told that nobody knows: the sender never asks again, and the other side learns
/// of it all the same.
#[tokio::test]
async fn what_was_stored_and_given_up_is_told_as_a_head() {
    let mut scene = Scene::new().await;
    let bob = scene.connector.login("bob", "phone").await;
    assert_eq!(scene.ask(say("bob", 1)).await, ack(2));
    scene.connector.arrived();
    scene.fail(&[Fault::StoredButUnknown, Fault::Open]);
    assert_eq!(scene.ask(say("bob", 2)).await, Told::No(Code::OUTCOME_UNKNOWN));
    let head = push(scene.connector.next().await);
    let frame = v1::ServerFrame::decode(head.frame.clone()).unwrap();
    let conversation = protocol::names::direct("alice", "bob");
    assert_eq!(frame.body, Some(Body::Head(v1::Head { conversation, tip: 3 })));
    assert!(head.targets.iter().any(|target| target.device_id == bob.id) && head.seq == 3);
    assert_eq!(scene.ask(say("bob", 3)).await, ack(4), "nobody was fenced off");
}

fn push(body: to_connector::Body) -> Push {
    match body {
        to_connector::Body::Push(push) => push,
        other => panic!("not a push: {other:?}"),
    }
}
