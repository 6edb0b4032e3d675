//! Every message of the node protocol, in frames as a link carries them.

use whimbrel_protocol::node::v1::link_message::Body;
use whimbrel_protocol::node::v1::*;
use whimbrel_protocol::v1::client_frame::Body as Asked;
use whimbrel_protocol::v1::{ClientFrame, Content, Presence, Role, Send};

const DEVICE: u64 = 0x0007_404e_7970_0001;
const CONNECTOR: u64 = 0x1001_7f00_0001_1ce8;
const CHANNEL: u64 = 0x2002_7f00_0001_1d4c;

/// What version 2 has added: names and messages, one frame each.
pub fn cases_2() -> Vec<(&'static str, Vec<LinkMessage>)> {
    let session = AnnouncedSession {
        tenant: "t".into(),
        user: "alice".into(),
        target: Some(target()),
        suspended: false,
        away: true,
        watched: vec!["g:1".into(), "d:alice:bob".into()],
    };
    let moved = Announce { anew: false, sessions: vec![session], moved: true };
    let push = UserPush {
        tenant: "t".into(),
        users: vec!["alice".into(), "bob".into()],
        frame: vec![0x1A, 0].into(),
        conversation: "g:1".into(),
        seq: 70_000,
        telling: push::Telling::Anyway.into(),
        except: Some(target()),
    };
    let subscribe = Subscribe { tenant: "t".into(), users: vec!["carol".into()], over: true };
    let presence = Presence { user: "carol".into(), online: true, since_ms: 1_772_368_496_000, state: 2 };
    let presences = Presences { tenant: "t".into(), presences: vec![presence] };
    let peers = [
        ("peer_push", peer::Body::Push(push)),
        ("peer_subscribe", peer::Body::Subscribe(subscribe)),
        ("peer_presences", peer::Body::Presences(presences)),
        ("peer_epoch", peer::Body::Epoch(Epoch { latest: 1_772_368_496_000_000 })),
    ];
    let peers = peers.map(|(name, body)| (name, to_channel::Body::Peer(Peer { body: Some(body) })));
    let all = [("announce_moved", to_channel::Body::Announce(moved))].into_iter().chain(peers);
    all.map(|(name, body)| (name, vec![message(to_channel(body))])).collect()
}

/// Names and messages of version 1, one frame each.
pub fn cases() -> Vec<(&'static str, Vec<LinkMessage>)> {
    let mut all = opening();
    all.extend(to_channels());
    all.extend(to_connectors());
    let counted = [Body::Ack(LinkAck { received: 300 }), Body::Ping(LinkPing {})];
    all.push(("ack_and_ping", counted.into_iter().map(message).collect()));
    let batch = [to_channel(to_channel::Body::Detach(detach())), Body::Ack(LinkAck { received: 1 })];
    all.push(("batch", batch.into_iter().map(message).collect()));
    all
}

fn opening() -> Vec<(&'static str, Vec<LinkMessage>)> {
    let hello = LinkHello {
        version_min: 1,
        version_max: 2,
        cluster: "prod".into(),
        node: CONNECTOR,
        incarnation: 77,
        to: CHANNEL,
        session: 0x0123_4567_89ab_cdef,
        received: 12,
        window: 4_194_304,
    };
    let welcome = LinkWelcome {
        version: 1,
        node: CHANNEL,
        incarnation: 78,
        resumed: true,
        received: 13,
        window: 4_194_304,
    };
    let refused =
        LinkRefused { reason: link_refused::Reason::Cluster.into(), text: "this is cluster \"prod\"".into() };
    vec![
        ("hello", vec![message(Body::Hello(hello))]),
        ("welcome", vec![message(Body::Welcome(welcome))]),
        ("refused", vec![message(Body::Refused(refused))]),
    ]
}

fn to_channels() -> Vec<(&'static str, Vec<LinkMessage>)> {
    use to_channel::Body as To;
    let content = Some(Content { r#type: "text/plain".into(), data: "hi".into() });
    let client_msg_id = vec![9; 16].into();
    let send = Send { conversation: "g:1".into(), client_msg_id, content, ..Send::default() };
    let frame = Some(ClientFrame { ack: 0, id: 5, body: Some(Asked::Send(send)) });
    let request =
        Request { identity: Some(identity()), device_id: DEVICE, epoch: 1_772_368_496_000_000, frame };
    let attach = Attach {
        attach_id: 4,
        identity: Some(identity()),
        device_type: 2,
        installation: "phone".into(),
        transport: "quic".into(),
        remote: "192.0.2.7:5000".into(),
    };
    let Detach { tenant, user, device_id, epoch } = detach();
    let suspend = Suspend { tenant: tenant.clone(), user: user.clone(), device_id, epoch };
    let revive = Revive { tenant: tenant.clone(), user: user.clone(), device_id, epoch };
    let resend = Resend { tenant, user, target: Some(target()), places: vec![place(), place()] };
    let session = AnnouncedSession {
        tenant: "t".into(),
        user: "alice".into(),
        target: Some(target()),
        suspended: true,
        ..AnnouncedSession::default()
    };
    let announce = Announce { anew: true, sessions: vec![session], moved: false };
    let bodies = [
        ("request", To::Request(request)),
        ("attach", To::Attach(attach)),
        ("detach", To::Detach(detach())),
        ("suspend", To::Suspend(suspend)),
        ("revive", To::Revive(revive)),
        ("resend", To::Resend(resend)),
        ("announce", To::Announce(announce)),
    ];
    bodies.into_iter().map(|(name, body)| (name, vec![message(to_channel(body))])).collect()
}

fn to_connectors() -> Vec<(&'static str, Vec<LinkMessage>)> {
    use to_connector::Body as To;
    let push = Push {
        targets: vec![target(), Target { device_id: DEVICE + 1, epoch: 2 }],
        frame: vec![0x1A, 0].into(),
        conversation: "g:1".into(),
        seq: 70_000,
        telling: push::Telling::IfMissed.into(),
    };
    let reply = Reply { target: Some(target()), frame: vec![0x10, 5].into() };
    let admitted = Admitted { device_id: DEVICE, epoch: 1_772_368_496_000_000 };
    let attached = Attached { attach_id: 4, outcome: Some(attached::Outcome::Admitted(admitted)) };
    let copies = vec![Copy { place: Some(place()), frame: vec![1, 2, 3].into() }];
    let bodies = [
        ("push", To::Push(push)),
        ("reply", To::Reply(reply)),
        ("attached", To::Attached(attached)),
        ("kick", To::Kick(Kick { target: Some(target()), code: 204 })),
        ("resent", To::Resent(Resent { target: Some(target()), copies })),
    ];
    let body = |body| Body::ToConnector(ToConnector { body: Some(body) });
    bodies.into_iter().map(|(name, one)| (name, vec![message(body(one))])).collect()
}

fn message(body: Body) -> LinkMessage {
    LinkMessage { body: Some(body) }
}

fn to_channel(body: to_channel::Body) -> Body {
    Body::ToChannel(ToChannel { body: Some(body) })
}

fn identity() -> Identity {
    Identity { tenant: "t".into(), user: "alice".into(), name: "Alice".into(), role: Role::Agent.into() }
}

fn target() -> Target {
    Target { device_id: DEVICE, epoch: 1_772_368_496_000_000 }
}

fn detach() -> Detach {
    Detach { tenant: "t".into(), user: "alice".into(), device_id: DEVICE, epoch: 1_772_368_496_000_000 }
}

fn place() -> Place {
    Place { session_seq: 3, conversation: "g:1".into(), seq: 70_000 }
}
