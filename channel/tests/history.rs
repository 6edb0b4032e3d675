//! Reads: Sync, ListConversations, ListMembers.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails ends its test")]

mod support;

use protocol::code::Code;
use protocol::limit::*;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body;
use protocol::v1::*;
use storage::member::{Cursors, MemberRow};
use storage::{ConversationKey, Directory};
use support::*;

fn texts(count: usize, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|n| vec![b'a' + (n % 26) as u8; bytes]).collect()
}

fn range(conversation: &str, from: u64, backwards: bool, limit: u32) -> SyncRange {
    SyncRange { conversation: conversation.into(), from, backwards, limit }
}

async fn sync(at: &mut Connector, device: &Device, ranges: Vec<SyncRange>) -> Vec<SyncedRange> {
    match at.ask(device, Ask::Sync(Sync { ranges })).await {
        Body::SyncResult(result) => result.ranges,
        other => panic!("not a result: {other:?}"),
    }
}

fn seqs(range: &SyncedRange) -> Vec<u64> {
    assert!(range.messages.iter().all(|message| message.conversation.is_empty()));
    range.messages.iter().map(|message| message.seq).collect()
}

/// Follows has_more to the end, checking that each answer starts where the last one ended.
async fn pull(at: &mut Connector, device: &Device, conversation: &str, backwards: bool) -> (Vec<u64>, usize) {
    let (mut all, mut from, mut rounds) = (Vec::new(), if backwards { 0 } else { 1 }, 0);
    loop {
        let found = sync(at, device, vec![range(conversation, from, backwards, 0)]).await.remove(0);
        rounds += 1;
        assert_eq!(found.error, None);
        assert!(!found.messages.is_empty() || !found.has_more, "an answer brings nothing");
        assert!(seqs(&found).iter().all(|seq| (found.first..=found.last).contains(seq)));
        assert!(seqs(&found).is_sorted());
        if backwards {
            assert!(from == 0 || found.last == from);
            all.splice(0..0, seqs(&found));
            from = found.first - 1;
        } else {
            assert_eq!(found.first, from);
            all.extend(seqs(&found));
            from = found.last + 1;
        }
        if !found.has_more {
            return (all, rounds);
        }
    }
}

#[tokio::test]
async fn everything_is_found_from_both_ends() {
    let world = World::new().await;
    world.seed("room", vec![member("alice", 1)], &texts(700, 300), 5).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let (forwards, rounds) = pull(&mut at, &alice, "room", false).await;
    assert_eq!(forwards, (1..=701).collect::<Vec<_>>());
    assert!(rounds <= 6, "{rounds} rounds");
    assert_eq!(pull(&mut at, &alice, "room", true).await.0, forwards);
}

#[tokio::test]
async fn the_largest_entries_come_one_by_one() {
    let world = World::new().await;
    world.seed("room", vec![member("alice", 1)], &texts(5, MAX_CONTENT_BYTES), 5).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    for backwards in [false, true] {
        let (found, rounds) = pull(&mut at, &alice, "room", backwards).await;
        assert_eq!(found, [1, 2, 3, 4, 5, 6]);
        assert_eq!(rounds, 5);
    }
}

#[tokio::test]
async fn only_what_the_member_may_see() {
    let world = World::new().await;
    let mut bob = MemberRow::join("bob", Role::Member, 3);
    bob.leave(5);
    bob.rejoin(Role::Member, 9);
    let mut carol = MemberRow::join("carol", Role::Member, 2);
    carol.leave(4);
    world.seed("room", vec![member("alice", 1), bob, carol], &texts(11, 10), 5).await;
    let mut at = world.connector(1);
    let bob = at.login("bob", "phone").await;
    let carol = at.login("carol", "phone").await;
    assert_eq!(pull(&mut at, &bob, "room", false).await.0, [3, 4, 5, 9, 10, 11, 12]);
    assert_eq!(pull(&mut at, &bob, "room", true).await.0, [3, 4, 5, 9, 10, 11, 12]);
    assert_eq!(pull(&mut at, &carol, "room", false).await.0, [2, 3, 4]);
    // One who left does not learn how far the conversation goes on.
    let found = sync(&mut at, &carol, vec![range("room", 0, true, 2), range("room", 5, false, 0)]).await;
    assert_eq!((seqs(&found[0]), found[0].tip, found[0].has_more), (vec![3, 4], 4, true));
    assert_eq!((found[0].first, found[0].last), (3, 4));
    assert_eq!((seqs(&found[1]), found[1].first, found[1].last, found[1].has_more), (vec![], 5, 4, false));
    // A limit that ends at the edge of what bob saw first.
    let found = sync(&mut at, &bob, vec![range("room", 1, false, 3)]).await.remove(0);
    assert_eq!((found.first, found.last, found.has_more, found.tip), (1, 8, true, 12));
}

#[tokio::test]
async fn absent_and_forbidden_look_the_same() {
    let world = World::new().await;
    world.seed("room", vec![member("alice", 1)], &texts(3, 10), 5).await;
    let mut at = world.connector(1);
    let eve = at.login("eve", "phone").await;
    let found = sync(&mut at, &eve, vec![range("room", 1, false, 0), range("none", 1, false, 0)]).await;
    assert_eq!(found[0].error.as_ref().map(|error| error.code), Some(Code::NOT_FOUND.number()));
    assert_eq!(found[0].error, found[1].error);
    assert_eq!(found[0], SyncedRange { conversation: "room".into(), ..found[1].clone() });
    // The same user name in another tenant is somebody else.
    let stranger = Ask::Sync(Sync { ranges: vec![range("room", 1, false, 0)] });
    let answer = at.ask_as(identity("other", "alice"), &eve, Some(stranger)).await;
    let Body::SyncResult(result) = answer else { panic!("{answer:?}") };
    assert_eq!(result.ranges[0], found[0]);
    let list = |conversation: &str| {
        Ask::ListMembers(ListMembers { conversation: conversation.into(), ..ListMembers::default() })
    };
    let forbidden = at.ask(&eve, list("room")).await;
    assert_eq!(forbidden, Body::Error(Code::NOT_FOUND.plain_error()));
    assert_eq!(at.ask(&eve, list("none")).await, forbidden);
}

#[tokio::test]
async fn many_ranges_share_one_answer() {
    let world = World::new().await;
    let names: Vec<String> = (0..MAX_SYNC_RANGES).map(|n| format!("room-{n:02}")).collect();
    for name in &names {
        world.seed(name, vec![member("alice", 1)], &texts(20, 1_000), 5).await;
    }
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let mut want: Vec<SyncRange> = names.iter().map(|name| range(name, 1, false, 0)).collect();
    let first = sync(&mut at, &alice, want.clone()).await;
    assert!(first.iter().all(|range| !range.messages.is_empty()), "a range got nothing");
    assert!(first.iter().map(|range| range.messages.len()).sum::<usize>() <= MAX_SYNC_MESSAGES);
    // Continuing each range ends, and misses nothing.
    let mut found: std::collections::BTreeMap<String, Vec<u64>> = std::collections::BTreeMap::new();
    while !want.is_empty() {
        let answer = sync(&mut at, &alice, std::mem::take(&mut want)).await;
        for part in answer {
            found.entry(part.conversation.clone()).or_default().extend(seqs(&part));
            if part.has_more {
                want.push(range(&part.conversation, part.last + 1, false, 0));
            }
        }
    }
    assert_eq!(found.len(), names.len());
    assert!(found.values().all(|seqs| *seqs == (1..=21).collect::<Vec<_>>()));
}

#[tokio::test]
async fn a_full_answer_still_names_every_range() {
    let world = World::new().await;
    world.seed("big", vec![member("alice", 1)], &texts(3, MAX_CONTENT_BYTES), 5).await;
    let name = "x".repeat(MAX_CONVERSATION_BYTES);
    world.seed(&name, vec![member("alice", 1)], &texts(3, MAX_CONTENT_BYTES), 5).await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let mut ranges = vec![range("big", 2, false, 0)];
    ranges.extend((1..MAX_SYNC_RANGES).map(|n| range(&name, 2, n % 2 == 0, 0)));
    let found = sync(&mut at, &alice, ranges).await;
    assert_eq!(seqs(&found[0]), [2]);
    for (n, part) in found.iter().enumerate().skip(1) {
        assert!(part.error.is_none() && (part.has_more || !part.messages.is_empty()), "range {n}: {part:?}");
    }
}

#[tokio::test]
async fn bad_requests_are_refused_whole() {
    let world = World::new().await;
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let code = |answer: Body| match answer {
        Body::Error(error) => Code::from_number(error.code),
        other => panic!("{other:?}"),
    };
    let ranges = vec![range("room", 1, false, 0); MAX_SYNC_RANGES + 1];
    assert_eq!(code(at.ask(&alice, Ask::Sync(Sync { ranges })).await), Some(Code::TOO_MANY));
    let ranges = vec![range("", 1, false, 0)];
    assert_eq!(code(at.ask(&alice, Ask::Sync(Sync { ranges })).await), Some(Code::INVALID_REQUEST));
    let list = ListConversations { page: "short".into(), ..Default::default() };
    assert_eq!(code(at.ask(&alice, Ask::ListConversations(list)).await), Some(Code::INVALID_REQUEST));
    assert_eq!(code(at.ask(&alice, Ask::Ping(Ping {})).await), Some(Code::INVALID_REQUEST));
    let unknown = at.ask_as(identity(TENANT, "alice"), &alice, None).await;
    assert_eq!(code(unknown), Some(Code::UNIMPLEMENTED));
}

#[tokio::test]
async fn conversations_are_listed_by_latest_entry_without_repeats() {
    let world = World::new().await;
    let mut left = MemberRow::join("alice", Role::Agent, 1);
    left.leave(2);
    world.seed("d:alice~bob", vec![left, member("bob", 1)], &texts(4, 20), 500).await;
    for n in 0..7 {
        // In the order of storing, whatever the clock said.
        world.seed(&format!("room-{n}"), vec![member("alice", 1)], &texts(n, 20), 1_000 - n as i64).await;
    }
    world.seed("foreign", vec![member("bob", 1)], &texts(1, 20), 9_000).await;
    let key = ConversationKey::new(TENANT, "room-6");
    let read = Cursors { read: 3, delivered: 4, sent: 0 };
    world.store.raise_cursors(&key, "alice", read).await.unwrap();
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let (mut rows, mut page) = (Vec::new(), bytes::Bytes::new());
    loop {
        let asked = ListConversations { page: page.clone(), limit: 3, ..Default::default() };
        let Body::Conversations(answer) = at.ask(&alice, Ask::ListConversations(asked)).await else {
            panic!("not a page")
        };
        assert!(answer.conversations.len() <= 3);
        rows.extend(answer.conversations);
        page = answer.next_page;
        if page.is_empty() {
            break;
        }
    }
    let names: Vec<&str> = rows.iter().map(|row| row.conversation.as_str()).collect();
    let expected = ["room-6", "room-5", "room-4", "room-3", "room-2", "room-1", "room-0", "d:alice~bob"];
    assert_eq!(names, expected);
    // Alice sent everything, so nothing is unread.
    assert_eq!((rows[0].tip, rows[0].read, rows[0].delivered, rows[0].unread), (7, 3, 4, 0));
    let last = rows[0].last_message.as_ref().unwrap();
    assert_eq!((last.seq, last.conversation.as_str()), (7, ""));
    let left = &rows[7];
    assert_eq!((left.tip, left.active, left.peer.as_str(), left.role), (2, false, "bob", Role::Agent.into()));
    assert_eq!(left.last_message.as_ref().map(|message| message.seq), Some(2));
}

#[tokio::test]
async fn a_page_of_large_last_messages_fits_a_frame() {
    let world = World::new().await;
    for n in 0..4 {
        world
            .seed(
                &format!("r{n}"),
                vec![member("bob", 1), member("alice", 1)],
                &texts(1, MAX_CONTENT_BYTES),
                n,
            )
            .await;
    }
    let mut at = world.connector(1);
    let alice = at.login("alice", "phone").await;
    let (mut names, mut page) = (Vec::new(), bytes::Bytes::new());
    loop {
        let asked = ListConversations { page, ..Default::default() };
        let Body::Conversations(answer) = at.ask(&alice, Ask::ListConversations(asked)).await else {
            panic!("not a page")
        };
        assert_eq!(answer.conversations.len(), 1);
        assert_eq!(answer.conversations[0].unread, 1, "the creation is not unread");
        names.push(answer.conversations[0].conversation.clone());
        page = answer.next_page;
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["r3", "r2", "r1", "r0"]);
}

#[tokio::test]
async fn members_are_listed_in_pages() {
    let world = World::new().await;
    let mut rows: Vec<MemberRow> = (0..250).map(|n| member(&format!("user-{n:03}"), 1)).collect();
    rows[100].leave(1);
    world.seed("room", rows, &texts(2, 10), 5).await;
    let key = ConversationKey::new(TENANT, "room");
    world.store.raise_cursors(&key, "user-005", Cursors { read: 2, delivered: 3, sent: 0 }).await.unwrap();
    let mut at = world.connector(1);
    let device = at.login("user-005", "phone").await;
    let former = at.login("user-100", "phone").await;
    let (mut members, mut after) = (Vec::new(), String::new());
    loop {
        let asked = ListMembers { conversation: "room".into(), after, limit: 0 };
        let Body::Members(page) = at.ask(&device, Ask::ListMembers(asked)).await else {
            panic!("not a page")
        };
        assert!(page.members.len() <= MAX_PAGE_ROWS);
        members.extend(page.members);
        after = page.next_after;
        if after.is_empty() {
            break;
        }
    }
    assert_eq!(members.len(), 249);
    assert!(members.windows(2).all(|pair| pair[0].user < pair[1].user));
    assert!(members.iter().all(|member| member.user != "user-100"));
    let me = &members[5];
    assert_eq!((me.name.as_str(), me.read, me.delivered, me.online), ("USER-005", 2, 3, true));
    assert_eq!((members[6].name.as_str(), members[6].online), ("", false));
    let asked = ListMembers { conversation: "room".into(), after: "user-248".into(), limit: 5 };
    let Body::Members(page) = at.ask(&former, Ask::ListMembers(asked)).await else { panic!("not a page") };
    assert_eq!((page.members.len(), page.next_after.as_str()), (1, ""));
    // Who has left is not told who is online.
    let asked = ListMembers { conversation: "room".into(), after: "user-004".into(), limit: 1 };
    let Body::Members(page) = at.ask(&former, Ask::ListMembers(asked)).await else { panic!("not a page") };
    assert_eq!((page.members[0].user.as_str(), page.members[0].online), ("user-005", false));
}
