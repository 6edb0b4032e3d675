//! Each rule about members, signals and cursors, by an example.

use protocol::code::Code;
use protocol::names;
use protocol::v1::conversation_info::Kind;
use protocol::v1::{self, Role};
use whimbrel_channel::conversation::action::Except;
use whimbrel_channel::conversation::event::Body;

use crate::support::*;

fn room() -> Bench {
    let roles = [
        ("owner", Role::Owner),
        ("agent", Role::Agent),
        ("member", Role::Member),
        ("visitor", Role::Visitor),
    ];
    Bench::group(&roles)
}

fn device(user: &str) -> u64 {
    user.bytes().fold(7, |sum, byte| sum * 31 + u64::from(byte))
}

/// What `user` is told, once everything has settled.
fn ask(bench: &mut Bench, user: &str, body: Body) -> Told {
    bench.ask(user, device(user), 1, body);
    bench.settle();
    let told = bench.told();
    assert_eq!(told.len(), 1);
    told[0].1
}

const NOT_ALLOWED: Told = Told::No(Code::NOT_ALLOWED);
const NOT_FOUND: Told = Told::No(Code::NOT_FOUND);
const INVALID: Told = Told::No(Code::INVALID_REQUEST);

#[test]
fn a_stranger_cannot_tell_a_conversation_from_none() {
    let (mut there, mut absent) = (room(), Bench::new("room"));
    let asked = || {
        let mark = v1::Mark { read: 1, ..Default::default() };
        let no_store = v1::Send { no_store: true, ..send(2) };
        let after = send_after(3, 1);
        let signal = Body::Signal(v1::Signal::default());
        let sends = [Body::Send(send(1)), Body::Send(no_store), Body::Send(after)];
        sends.into_iter().chain([Body::Mark(mark), signal, add(4, "x", Role::Member), remove(5, "x")])
    };
    for body in asked() {
        let answers = [&mut there, &mut absent].map(|bench| {
            bench.ask("x", 9, 1, body.clone());
            bench.settle();
            bench.answers.drain(..).collect::<Vec<_>>()
        });
        assert_eq!(answers[0], answers[1]);
        assert_eq!(told(&answers[0][0].1), NOT_FOUND);
    }
    assert_eq!((there.log.tip(), absent.log.tip()), (1, 0));
}

#[test]
fn the_first_send_makes_a_direct_conversation() {
    let name = names::direct("b", "a");
    let mut bench = Bench::new(&name);
    bench.ask("b", 2, 1, Body::Send(v1::Send { to_user: "a".into(), ..send(1) }));
    assert!(bench.loads.is_empty(), "an empty log has no rings");
    assert_eq!(bench.append.as_ref().map(|append| append.entries.len()), Some(2));
    bench.settle();
    assert_eq!(bench.told(), [(1, Told::Ack(2))]);
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(bench.pushed(), [(1, both.clone()), (2, both)]);
    let changed = bench.log.message(1).members_changed.unwrap();
    assert_eq!(changed.created.unwrap().kind(), Kind::Direct);
    assert_eq!(changed.added, [new_member("a", Role::Member), new_member("b", Role::Member)]);
    assert_eq!(bench.log.info.as_ref().unwrap().kind(), Kind::Direct);
    // Only the first makes it, and only the two talk in it.
    assert_eq!(ask(&mut bench, "a", Body::Send(send(1))), Told::Ack(3));
    assert_eq!(ask(&mut bench, "x", Body::Send(send(1))), NOT_FOUND);
    assert_eq!(ask(&mut bench, "a", add(9, "x", Role::Member)), NOT_ALLOWED);
    assert_eq!(ask(&mut bench, "x", add(9, "x", Role::Member)), NOT_FOUND);
}

#[test]
fn nobody_talks_to_oneself_or_makes_somebody_elses_direct_conversation() {
    let mut bench = Bench::new(&names::direct("a", "b"));
    assert_eq!(ask(&mut bench, "x", Body::Send(send(1))), NOT_FOUND);
    let mut bench = Bench::new(&names::direct("a", "a"));
    assert_eq!(ask(&mut bench, "a", Body::Send(v1::Send { to_user: "a".into(), ..send(1) })), INVALID);
    assert_eq!(ask(&mut bench, "a", Body::Send(send(1))), NOT_FOUND);
}

#[test]
fn a_device_makes_a_group_once() {
    let msg_id: [u8; 16] = id(5)[..].try_into().unwrap();
    let mut bench = Bench::new(&names::group(1, &msg_id));
    let members = vec![new_member("b", Role::Agent), new_member("a", Role::Visitor)];
    let create = v1::CreateConversation { client_msg_id: id(5), title: "T".into(), members };
    bench.ask("a", 1, 1, Body::Create(create.clone()));
    bench.ask("a", 1, 2, Body::Create(create.clone()));
    bench.ask("x", 9, 3, Body::Create(create.clone()));
    bench.settle();
    let told = bench.told();
    assert_eq!(told, [(3, INVALID), (1, Told::Ack(1)), (2, Told::Again(1))]);
    let changed = bench.log.message(1).members_changed.unwrap();
    assert_eq!(changed.added, [new_member("a", Role::Owner), new_member("b", Role::Agent)]);
    assert_eq!(bench.log.info.as_ref().unwrap().title, "T");
    assert_eq!(bench.pushed(), [(1, vec!["a".to_owned(), "b".to_owned()])]);
    // Also when the dedupe window has long forgotten it.
    bench.log.slots.clear();
    bench.restart();
    bench.ask("a", 1, 4, Body::Create(create));
    bench.settle();
    assert_eq!(bench.told(), [(4, Told::Again(1))]);
    assert_eq!(bench.log.tip(), 1);
}

#[test]
fn roles_decide_who_adds_and_removes() {
    let mut n = 0;
    let mut told = |user: &str, change: fn(u64, &str) -> Body, whom: &str| {
        n += 1;
        ask(&mut room(), user, change(n, whom))
    };
    let guest = |n, user: &str| add(n, user, Role::Member);
    let chief = |n, user: &str| add(n, user, Role::Owner);
    for user in ["owner", "agent"] {
        assert_eq!(told(user, guest, "new"), Told::Ack(2));
        assert_eq!(told(user, chief, "new"), Told::Ack(2));
        assert_eq!(told(user, remove, "member"), Told::Ack(2));
        assert_eq!(told(user, remove, "owner"), Told::Ack(2));
    }
    assert_eq!(told("member", guest, "new"), Told::Ack(2));
    assert_eq!(told("member", chief, "new"), NOT_ALLOWED);
    assert_eq!(told("visitor", guest, "new"), NOT_ALLOWED);
    for user in ["member", "visitor"] {
        assert_eq!(told(user, remove, "agent"), NOT_ALLOWED);
        assert_eq!(told(user, remove, user), Told::Ack(2));
    }
    assert_eq!(told("owner", guest, "member"), INVALID);
    assert_eq!(told("owner", remove, "new"), INVALID);
}

#[test]
fn a_member_gets_what_the_log_says_within_one_batch() {
    let mut bench = room();
    for user in ["owner", "member"] {
        ask(&mut bench, user, Body::Send(send(1)));
    }
    bench.pushed();
    let (owner, member, new) = (device("owner"), device("member"), device("new"));
    bench.ask("owner", owner, 1, Body::Send(send(10)));
    bench.ask("owner", owner, 2, Body::Send(send(11)));
    bench.ask("owner", owner, 3, add(12, "new", Role::Member));
    bench.ask("new", new, 4, Body::Send(send(1)));
    bench.load(new);
    bench.ask("owner", owner, 5, remove(13, "member"));
    bench.ask("member", member, 6, Body::Send(send(10)));
    bench.ask("owner", owner, 7, Body::Send(send(14)));
    bench.applied();
    assert_eq!(bench.append.as_ref().map(|append| append.entries.len()), Some(5));
    bench.settle();
    let acks = [(1, 4), (2, 5), (3, 6), (4, 7), (5, 8)].map(|(re, seq)| (re, Told::Ack(seq)));
    let told = bench.told();
    assert_eq!(told[..5], acks);
    assert_eq!(told[5..], [(6, NOT_FOUND), (7, Told::Ack(9))]);
    let has = |seq: u64, user: &str| {
        bench.pushes.iter().any(|push| push.seq == seq && users(push).contains(&user.to_owned()))
    };
    let seen = |user: &str| (4..=9).filter(|&seq| has(seq, user)).collect::<Vec<_>>();
    assert_eq!(seen("new"), [6, 7, 8, 9]);
    assert_eq!(seen("member"), [4, 5, 6, 7, 8]);
    assert_eq!(seen("owner"), [4, 5, 6, 7, 8, 9]);
    assert!((1..=9).all(|seq| bench.log.members["member"].may_see(seq) == (seq <= 8)));
    assert!((1..=9).all(|seq| bench.log.members["new"].may_see(seq) == (seq >= 6)));
}

#[test]
fn history_is_granted_by_name() {
    let mut bench = room();
    let newcomer = v1::NewMember { with_history: true, ..new_member("new", Role::Member) };
    let change = v1::ChangeMembers { client_msg_id: id(1), add: vec![newcomer], ..Default::default() };
    assert_eq!(ask(&mut bench, "owner", Body::Change(change)), Told::Ack(2));
    assert!(bench.log.members["new"].may_see(1));
    assert_eq!(ask(&mut bench, "owner", Body::Send(send(9))), Told::Ack(3));
}

#[test]
fn a_join_that_is_refused_by_the_store_never_happened() {
    let mut bench = room();
    ask(&mut bench, "owner", Body::Send(send(1)));
    bench.ask("owner", device("owner"), 1, add(2, "new", Role::Member));
    bench.outcome(storage::log::AppendOutcome::Refused(broken()));
    bench.told();
    assert_eq!(ask(&mut bench, "new", Body::Send(send(1))), NOT_FOUND);
    assert_eq!(ask(&mut bench, "owner", add(2, "new", Role::Member)), Told::Ack(3));
    assert_eq!(ask(&mut bench, "new", Body::Send(send(1))), Told::Ack(4));
}

#[test]
fn a_mark_is_clamped_and_told() {
    let mut bench = room();
    ask(&mut bench, "owner", Body::Send(send(1)));
    bench.pushed();
    let mark = v1::Mark { read: 1, delivered: 99, ..Default::default() };
    assert_eq!(ask(&mut bench, "member", Body::Mark(mark.clone())), Told::Cursor(1, 2));
    let Except::Session { device: asked, .. } = bench.pushes[0].except else { panic!("one session") };
    assert_eq!(asked, device("member"));
    let v1::server_frame::Body::Cursor(cursor) = frame(&bench.pushes[0]) else { panic!("a cursor") };
    assert_eq!((cursor.user.as_str(), cursor.read, cursor.delivered), ("member", 1, 2));
    assert_eq!(bench.pushed()[0].1.len(), 4);
    assert_eq!(ask(&mut bench, "owner", remove(7, "member")), Told::Ack(3));
    assert_eq!(ask(&mut bench, "member", Body::Mark(mark)), NOT_FOUND);
}

#[test]
fn a_large_conversation_does_not_tell_everybodys_cursors() {
    let names: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    let members: Vec<_> = names.iter().map(|name| (name.as_str(), Role::Member)).collect();
    let mut bench = Bench::group(&members);
    ask(&mut bench, "u7", Body::Mark(v1::Mark { read: 1, ..Default::default() }));
    assert_eq!(bench.pushed(), [(0, vec!["u7".to_owned()])]);
}

#[test]
fn a_failed_mark_is_answered() {
    let mut bench = room();
    bench.ask("owner", 1, 1, Body::Mark(v1::Mark { read: 1, ..Default::default() }));
    assert!(!bench.conversation.is_idle());
    let Some(whimbrel_channel::conversation::event::Event::CursorsRaised { mark, cursors: asked }) =
        bench.raised.pop()
    else {
        panic!("cursors to raise")
    };
    assert_eq!(asked, Ok(cursors(1, 0)));
    bench.event(whimbrel_channel::conversation::event::Event::CursorsRaised { mark, cursors: Err(broken()) });
    assert_eq!(bench.told(), [(1, Told::No(Code::UNAVAILABLE))]);
    assert!(bench.conversation.is_idle());
}

#[test]
fn a_signal_goes_to_the_others() {
    let mut bench = room();
    let signal = v1::Signal { r#type: "typing".into(), data: "x".into(), ..Default::default() };
    assert_eq!(ask(&mut bench, "visitor", Body::Signal(signal)), Told::Ack(0));
    assert_eq!(bench.pushes[0].except, Except::User("visitor".into()));
    let v1::server_frame::Body::Signal(push) = frame(&bench.pushes[0]) else { panic!("a signal") };
    assert_eq!((push.conversation.as_str(), push.user.as_str()), ("room", "visitor"));
    assert_eq!((push.r#type.as_str(), &push.data[..]), ("typing", &b"x"[..]));
    assert_eq!(bench.log.tip(), 1);
}
