//! The session against frames written by hand.

use super::*;
use protocol::code::Code;

const LANE: &str = "g:room";

struct World {
    now: Instant,
    session: Session,
}

impl World {
    fn connected() -> World {
        let now = Instant::now();
        let mut world = World { now, session: Session::new(now, 1) };
        world.connect();
        world
    }

    fn connect(&mut self) {
        let welcome = v1::Welcome { user: "alice".into(), heartbeat_ms: 10_000, ..Default::default() };
        self.session.on_connected(self.now, welcome);
    }

    fn send(&mut self, conversation: &str, n: u8) {
        self.session.send(self.now, conversation, [n; 16], v1::Send::default());
    }

    fn written(&mut self) -> Vec<ClientFrame> {
        let actions = self.session.take_actions();
        let frames = actions.into_iter().filter_map(|action| match action {
            Action::Write(frame) => Some(*frame),
            _ => None,
        });
        frames.collect()
    }

    fn sends(&mut self) -> Vec<(u64, u8, Option<u8>)> {
        let sends = self.written().into_iter().filter_map(|frame| match frame.body {
            Some(Ask::Send(send)) => Some((frame.id, send.client_msg_id[0], send.after.first().copied())),
            _ => None,
        });
        sends.collect()
    }

    fn hangs_up(&mut self) -> bool {
        self.session.take_actions().iter().any(|action| matches!(action, Action::HangUp(_)))
    }

    fn told(&mut self, re: u64, body: Told) -> Vec<Action> {
        self.session.on_frame(self.now, ServerFrame { session_seq: 0, re, body: Some(body) });
        self.session.take_actions()
    }

    fn ack(&mut self, re: u64, seq: u64) -> Vec<Action> {
        self.told(re, Told::SendAck(v1::SendAck { seq, conversation: LANE.into(), ..Default::default() }))
    }
}

fn delivered(actions: &[Action]) -> Vec<(u64, u64)> {
    let delivered = actions.iter().filter_map(|action| match action {
        Action::Deliver(stream, message) => Some((*stream, message.seq)),
        _ => None,
    });
    delivered.collect()
}

#[test]
fn sends_name_their_predecessor_and_go_again_after_a_reconnect() {
    let mut world = World::connected();
    (1..=3).for_each(|n| world.send(LANE, n));
    let sends = world.sends();
    assert_eq!(sends.iter().map(|s| (s.1, s.2)).collect::<Vec<_>>(), [(1, None), (2, Some(1)), (3, Some(2))]);
    world.ack(sends[0].0, 1);
    world.session.on_lost(&Lost::broken("test"));
    world.send(LANE, 4);
    assert!(world.sends().is_empty());
    world.connect();
    let again: Vec<_> = world.sends().iter().map(|s| (s.1, s.2)).collect();
    assert_eq!(again, [(2, None), (3, Some(2)), (4, Some(3))]);
}

#[test]
fn a_refused_send_fails_alone() {
    let mut world = World::connected();
    (1..=2).for_each(|n| world.send(LANE, n));
    let sends = world.sends();
    let actions = world.told(sends[0].0, Told::Error(Code::INVALID_REQUEST.plain_error()));
    assert!(matches!(&actions[..], [Action::Settle(id, Err(_))] if id[0] == 1));
    world.session.on_frame(
        world.now,
        ServerFrame {
            re: sends[1].0,
            body: Some(Told::Error(Code::OUT_OF_ORDER.plain_error())),
            ..Default::default()
        },
    );
    let again = world.sends();
    assert_eq!((again[0].1, again[0].2), (2, None));
    let actions = world.ack(again[0].0, 1);
    assert!(matches!(&actions[..], [Action::Settle(id, Ok(ack))] if id[0] == 2 && ack.seq == 1));
}

#[test]
fn an_own_message_appears_in_its_stream_with_the_acks_seq() {
    let mut world = World::connected();
    world.session.open_stream(world.now, 9, LANE.into(), Since::Seq(1));
    let sync = world.written();
    let empty = v1::SyncedRange { first: 1, last: 0, conversation: LANE.into(), ..Default::default() };
    let sync_id = sync.iter().find(|frame| matches!(frame.body, Some(Ask::Sync(_)))).unwrap().id;
    world.told(sync_id, Told::SyncResult(v1::SyncResult { ranges: vec![empty] }));
    (1..=2).for_each(|n| world.send(LANE, n));
    let sends = world.sends();
    assert_eq!(delivered(&world.ack(sends[0].0, 1)), [(9, 1)]);
    let pushed = v1::Message { conversation: LANE.into(), seq: 2, ..Default::default() };
    assert_eq!(delivered(&world.told(0, Told::Message(pushed))), [(9, 2)]);
    assert_eq!(delivered(&world.ack(sends[1].0, 3)), [(9, 3)]);
}

#[test]
fn a_direct_conversation_is_addressed_by_its_user_and_may_be_absent() {
    let mut world = World::connected();
    world.send("d:alice~bob", 1);
    world.session.open_stream(world.now, 1, "d:alice~bob".into(), Since::Start);
    let frames = world.written();
    assert!(frames.iter().any(|f| matches!(&f.body, Some(Ask::Send(s)) if s.to_user == "bob")));
    let sync = frames.iter().find(|f| matches!(f.body, Some(Ask::Sync(_)))).unwrap().id;
    let absent = v1::SyncedRange { error: Some(Code::NOT_FOUND.plain_error()), ..Default::default() };
    let actions = world.told(sync, Told::SyncResult(v1::SyncResult { ranges: vec![absent] }));
    assert_eq!(actions, []);
    let pushed = v1::Message { conversation: "d:alice~bob".into(), seq: 1, ..Default::default() };
    assert_eq!(delivered(&world.told(0, Told::Message(pushed))), [(1, 1)]);
}

#[test]
fn a_stream_of_what_may_not_be_seen_ends() {
    let mut world = World::connected();
    world.session.open_stream(world.now, 1, LANE.into(), Since::Start);
    let sync = world.written().into_iter().find(|f| matches!(f.body, Some(Ask::Sync(_)))).unwrap().id;
    let absent = v1::SyncedRange { error: Some(Code::NOT_FOUND.plain_error()), ..Default::default() };
    let actions = world.told(sync, Told::SyncResult(v1::SyncResult { ranges: vec![absent] }));
    assert!(matches!(&actions[..], [Action::End(1, error)] if error.code() == Some(Code::NOT_FOUND)));
}

#[test]
fn a_hole_in_the_session_makes_streams_ask_the_log() {
    let mut world = World::connected();
    world.session.open_stream(world.now, 1, LANE.into(), Since::Start);
    let sync = world.written().into_iter().find(|f| matches!(f.body, Some(Ask::Sync(_)))).unwrap().id;
    world.told(sync, Told::SyncResult(v1::SyncResult { ranges: vec![v1::SyncedRange::default()] }));
    let head = Told::Head(v1::Head { conversation: "g:other".into(), tip: 3 });
    world.session.on_frame(world.now, ServerFrame { session_seq: 5, re: 0, body: Some(head) });
    assert!(world.written().iter().any(|frame| matches!(frame.body, Some(Ask::Sync(_))) && frame.ack == 5));
}

#[test]
fn an_unanswered_request_ends_the_connection() {
    let mut world = World::connected();
    world.send(LANE, 1);
    world.session.take_actions();
    // Heartbeats are answered, the send is not.
    for _ in 0..4 {
        world.now += Duration::from_secs(10);
        let push = Told::CaughtUp(v1::CaughtUp {});
        world.session.on_frame(world.now, ServerFrame { session_seq: 0, re: 0, body: Some(push) });
    }
    assert!(world.hangs_up());
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn bytes_that_arrive_keep_the_connection_while_an_answer_is_on_its_way() {
    let mut world = World::connected();
    world.send(LANE, 1);
    world.session.take_actions();
    let mut seconds = 0;
    // Neither the request nor the heartbeats are answered: their answers stand behind what arrives.
    while !world.hangs_up() {
        seconds += 1;
        world.now += Duration::from_secs(1);
        world.session.on_bytes(world.now);
        world.session.on_tick(world.now);
    }
    assert_eq!(seconds, crate::patience::ANSWER_AT_MOST.as_secs());
    let mut world = World::connected();
    world.send(LANE, 1);
    let silence = world.session.deadline().unwrap() - world.now;
    assert!(silence <= Duration::from_secs(32), "{silence:?}");
}

#[test]
fn everything_fails_when_there_will_be_no_connection() {
    let mut world = World::connected();
    world.send(LANE, 1);
    world.session.request(world.now, 7, Ask::ListConversations(v1::ListConversations::default()));
    world.session.take_actions();
    let lost = Lost::go_away(protocol::code::Code::SUPERSEDED.go_away("elsewhere"));
    world.session.on_lost(&lost);
    world.session.on_stopped("superseded");
    let actions = world.session.take_actions();
    assert!(matches!(&actions[..], [Action::Settle(_, Err(_)), Action::Answer(7, _)]));
}

#[test]
fn a_token_is_renewed_before_it_runs_out() {
    let now = Instant::now();
    let mut session = Session::new(now, 1);
    let welcome = v1::Welcome {
        server_time_ms: 1_000_000,
        auth_expires_ms: 1_000_000 + 600_000,
        heartbeat_ms: 3_600_000,
        ..Default::default()
    };
    session.on_connected(now, welcome);
    assert_eq!(session.deadline(), Some(now + Duration::from_secs(540)));
    session.on_tick(now + Duration::from_secs(540));
    assert!(session.take_actions().contains(&Action::FetchToken));
}

#[test]
fn a_renewed_tokens_life_is_measured_by_the_servers_clock_then() {
    let mut world = World::connected();
    world.session.renew(world.now, "fresh".into());
    let re = world.written().into_iter().find(|f| matches!(f.body, Some(Ask::RefreshAuth(_)))).unwrap().id;
    // The server's clock was set back by an hour meanwhile, or the device slept and its own stood still.
    let refreshed = v1::AuthRefreshed { server_time_ms: 5_000_000, expires_ms: 5_600_000 };
    world.told(re, Told::AuthRefreshed(refreshed));
    let mut fetched = world.now;
    while !world.session.take_actions().contains(&Action::FetchToken) {
        fetched += Duration::from_secs(5);
        world.session.on_frame(fetched, ServerFrame::default());
        world.session.on_tick(fetched);
    }
    assert_eq!(fetched - world.now, Duration::from_secs(540));
}

#[test]
fn a_resumed_session_watches_as_before_and_a_new_one_is_told_to() {
    let mut world = World::connected();
    let watch = Ask::Watch(v1::Watch { conversations: vec![LANE.into()] });
    world.session.request(world.now, 1, watch.clone());
    let watches = |world: &mut World, outcome: v1::welcome::Outcome| {
        world.session.on_lost(&Lost::broken("test"));
        world.session.take_actions();
        let welcome = v1::Welcome { outcome: outcome.into(), heartbeat_ms: 10_000, ..Default::default() };
        world.session.on_connected(world.now, welcome);
        let asked = world.written().into_iter().filter(|frame| frame.body.as_ref() == Some(&watch));
        asked.map(|frame| frame.id).collect::<Vec<u64>>()
    };
    use v1::welcome::Outcome;
    // Nobody has answered, so it is asked for again: by the request, and for the session.
    let asked = watches(&mut world, Outcome::Resumed);
    assert_eq!(asked.len(), 2);
    world.told(asked[0], Told::Watching(v1::Watching::default()));
    assert_eq!(watches(&mut world, Outcome::Resumed).len(), 1, "the request goes again, being unanswered");
    let last = watches(&mut world, Outcome::Resumed);
    world.told(last[0], Told::Watching(v1::Watching::default()));
    assert_eq!(watches(&mut world, Outcome::Resumed), [0; 0]);
    assert_eq!(watches(&mut world, Outcome::Expired).len(), 1);
    // What the server says of a resumed session's watch.
    let presence = v1::Presence { user: "bob".into(), online: true, ..Default::default() };
    let actions = world.told(0, Told::Watching(v1::Watching { presences: vec![presence] }));
    let [Action::Emit(event)] = &actions[..] else { panic!("{actions:?}") };
    assert!(matches!(&**event, Event::Presence { user, online: true, .. } if user == "bob"));
}

#[test]
fn activity_without_a_stream_is_told_as_an_event() {
    let mut world = World::connected();
    world.session.take_actions();
    let pushed = v1::Message { conversation: LANE.into(), seq: 4, ..Default::default() };
    let actions = world.told(0, Told::Message(pushed));
    let [Action::Emit(event)] = &actions[..] else { panic!("{actions:?}") };
    assert!(matches!(&**event, Event::Activity { seq: 4, .. }));
}
