//! The golden frames of presence and timelines.

use whimbrel_protocol::v1::{self, ServerFrame, server_frame};

use crate::cases::{Case, one, server};

pub fn server_presence() -> Vec<Case<ServerFrame>> {
    use server_frame::Body::*;
    let state = |online, since_ms, state| v1::Presence { user: "bob".into(), online, since_ms, state };
    let presence = |online, since_ms| state(online, since_ms, 0);
    let away = state(true, i64::MAX, v1::presence::State::Away.into());
    let timeline = v1::Timeline {
        conversation: "g:1".into(),
        seq: 7,
        sender: "alice".into(),
        received_ms: 1_767_225_600_000,
        committed_ms: 1_767_225_600_003,
        sampled: true,
        pushed: 300,
        pushes: vec![v1::TimelinePush { user: "bob".into(), device_id: u64::MAX, at_ms: -1 }],
        members: vec![
            v1::TimelineMember {
                user: "bob".into(),
                delivered: true,
                read: true,
                delivered_ms: 1,
                read_ms: i64::MAX,
            },
            v1::TimelineMember::default(),
        ],
        next_after: "bob".into(),
    };
    let watching = v1::Watching { presences: vec![presence(true, 1), presence(false, 0)] };
    vec![
        one("presence", server(0, 0, Presence(presence(true, 1_767_225_600_000)))),
        one("presence_offline", server(0, 0, Presence(presence(false, 0)))),
        one("presence_away", server(0, 16, Presence(away))),
        one("watching", server(0, 9, Watching(watching))),
        one("timeline", server(0, 18, Timeline(timeline))),
        one("timeline_empty", server(0, 18, Timeline(v1::Timeline::default()))),
    ]
}
