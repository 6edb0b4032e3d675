//! Strategies: any frame, any message of either direction.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use whimbrel_protocol::frame::{FLAG_BATCH, Frame};
use whimbrel_protocol::v1::*;

/// A frame whose body has fewer than `longest` bytes, of any content.
pub fn frame(longest: usize) -> impl Strategy<Value = Frame> {
    (any::<bool>(), vec(any::<u8>(), 0..longest))
        .prop_map(|(batch, body)| Frame { flags: if batch { FLAG_BATCH } else { 0 }, body: body.into() })
}

/// A frame of the device with any body.
pub fn client_frame() -> impl Strategy<Value = ClientFrame> {
    (any::<u64>(), any::<u64>(), prop::option::of(client_body())).prop_map(|(ack, id, body)| ClientFrame {
        ack,
        id,
        body,
    })
}

fn client_body() -> impl Strategy<Value = client_frame::Body> {
    use client_frame::Body;
    prop_oneof![
        send().prop_map(Body::Send),
        Just(Body::Ping(Ping {})),
        vec(sync_range(), 0..4).prop_map(|ranges| Body::Sync(Sync { ranges })),
        (name(), any::<u64>(), any::<u64>()).prop_map(|(conversation, read, delivered)| Body::Mark(Mark {
            conversation,
            read,
            delivered
        })),
        (data(16), any::<u32>()).prop_map(|(page, limit)| {
            let since_version = page.clone();
            Body::ListConversations(ListConversations { page, limit, since_version })
        }),
        (data(17), name(), vec(new_member(), 0..3)).prop_map(|(client_msg_id, title, members)| {
            Body::CreateConversation(CreateConversation { client_msg_id, title, members })
        }),
        change().prop_map(Body::ChangeMembers),
        (name(), name(), any::<u32>()).prop_map(|(conversation, after, limit)| {
            Body::ListMembers(ListMembers { conversation, after, limit })
        }),
        vec(name(), 0..3).prop_map(|conversations| Body::Watch(Watch { conversations })),
        (name(), name(), data(32)).prop_map(|(conversation, r#type, data)| Body::Signal(Signal {
            conversation,
            r#type,
            data
        })),
        name().prop_map(|token| Body::RefreshAuth(RefreshAuth { token })),
        Just(Body::Bye(Bye {})),
        any::<bool>().prop_map(|away| Body::SetPresence(SetPresence { away })),
        (name(), any::<u64>(), name()).prop_map(|(conversation, seq, after)| {
            Body::AskTimeline(AskTimeline { conversation, seq, after })
        }),
        hello().prop_map(Body::Hello),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let client = (name(), name(), name());
    let resume = prop::option::of((data(16), any::<u64>()));
    (any::<[u32; 4]>(), any::<u64>(), prop::option::of(client), name(), name(), resume).prop_map(
        |(
            [version_min, version_max, device_type, receive_window],
            features,
            client,
            token,
            installation,
            resume,
        )| {
            Hello {
                version_min,
                version_max,
                features,
                client: client.map(|(name, version, platform)| ClientInfo { name, version, platform }),
                token,
                installation,
                device_type,
                resume: resume.map(|(token, last_seq)| Resume { token, last_seq }),
                receive_window,
            }
        },
    )
}

fn send() -> impl Strategy<Value = Send> {
    (name(), name(), data(17), content(), relation(), any::<bool>(), any::<bool>(), data(17)).prop_map(
        |(conversation, to_user, client_msg_id, content, relation, no_store, hidden, after)| Send {
            conversation,
            to_user,
            client_msg_id,
            content,
            relation,
            no_store,
            hidden,
            after,
        },
    )
}

fn sync_range() -> impl Strategy<Value = SyncRange> {
    (name(), any::<u64>(), any::<bool>(), any::<u32>())
        .prop_map(|(conversation, from, backwards, limit)| SyncRange { conversation, from, backwards, limit })
}

fn change() -> impl Strategy<Value = ChangeMembers> {
    (name(), data(17), vec(new_member(), 0..3), vec(name(), 0..3)).prop_map(
        |(conversation, client_msg_id, add, remove)| ChangeMembers {
            conversation,
            client_msg_id,
            add,
            remove,
        },
    )
}

fn new_member() -> impl Strategy<Value = NewMember> {
    (name(), any::<i32>(), any::<bool>()).prop_map(|(user, role, with_history)| NewMember {
        user,
        role,
        with_history,
    })
}

/// A frame of the server with any of the bodies that carry data of others.
pub fn server_frame() -> impl Strategy<Value = ServerFrame> {
    use server_frame::Body;
    let body = prop_oneof![
        message().prop_map(Body::Message),
        (name(), any::<u64>(), any::<i64>(), any::<bool>(), data(17)).prop_map(
            |(conversation, seq, at_ms, duplicate, client_msg_id)| {
                Body::SendAck(SendAck { conversation, seq, at_ms, duplicate, client_msg_id })
            }
        ),
        (name(), any::<u64>()).prop_map(|(conversation, tip)| Body::Head(Head { conversation, tip })),
        vec(synced_range(), 0..3).prop_map(|ranges| Body::SyncResult(SyncResult { ranges })),
        error().prop_map(Body::Error),
        (any::<i32>(), any::<[u32; 2]>(), name(), name()).prop_map(
            |(verdict, [code, delay_ms], reason, endpoint)| {
                Body::GoAway(GoAway { verdict, code, reason, delay_ms, endpoint })
            }
        ),
        Just(Body::CaughtUp(CaughtUp {})),
    ];
    (any::<u64>(), any::<u64>(), prop::option::of(body)).prop_map(|(session_seq, re, body)| ServerFrame {
        session_seq,
        re,
        body,
    })
}

/// A range of a SyncResult, messages included.
pub fn synced_range() -> impl Strategy<Value = SyncedRange> {
    (name(), any::<[u64; 3]>(), vec(message(), 0..4), any::<bool>(), prop::option::of(error())).prop_map(
        |(conversation, [first, last, tip], messages, has_more, error)| SyncedRange {
            conversation,
            first,
            last,
            messages,
            tip,
            has_more,
            error,
        },
    )
}

/// A message with any fields.
pub fn message() -> impl Strategy<Value = Message> {
    (
        name(),
        any::<[u64; 2]>(),
        any::<i64>(),
        name(),
        data(17),
        content(),
        relation(),
        any::<bool>(),
        members_changed(),
    )
        .prop_map(
            |(
                conversation,
                [seq, sender_device],
                at_ms,
                sender,
                client_msg_id,
                content,
                relation,
                hidden,
                members_changed,
            )| {
                Message {
                    conversation,
                    seq,
                    at_ms,
                    sender,
                    sender_device,
                    client_msg_id,
                    content,
                    relation,
                    hidden,
                    members_changed,
                    recalled: !hidden,
                    edited: seq / 2,
                }
            },
        )
}

fn members_changed() -> impl Strategy<Value = Option<MembersChanged>> {
    let created = prop::option::of((any::<i32>(), name()));
    let changed = (vec(new_member(), 0..3), vec(name(), 0..3), created);
    prop::option::of(changed.prop_map(|(added, removed, created)| MembersChanged {
        added,
        removed,
        created: created.map(|(kind, title)| ConversationInfo { kind, title }),
    }))
}

fn error() -> impl Strategy<Value = Error> {
    (any::<[u32; 2]>(), name(), any::<bool>()).prop_map(|([code, retry_after_ms], message, retryable)| {
        Error { code, message, retryable, retry_after_ms }
    })
}

fn content() -> impl Strategy<Value = Option<Content>> {
    prop::option::of((name(), data(64)).prop_map(|(r#type, data)| Content { r#type, data }))
}

fn relation() -> impl Strategy<Value = Option<Relation>> {
    prop::option::of((any::<i32>(), any::<u64>()).prop_map(|(kind, seq)| Relation { kind, seq }))
}

/// A short text of any characters.
pub fn name() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..8).prop_map(|chars| chars.into_iter().collect())
}

fn data(longest: usize) -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..longest).prop_map(Bytes::from)
}
