//! Frames built around encoded bytes are what prost would have encoded.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use whimbrel_protocol::splice::{self, RangeParts};
use whimbrel_protocol::v1::server_frame::Body;
use whimbrel_protocol::v1::{Message, ServerFrame, SyncResult, SyncedRange};
use whimbrel_protocol::{check, names};

use crate::any;
use crate::config;

fn stored(message: &Message) -> Bytes {
    Message { conversation: String::new(), ..message.clone() }.encode_to_vec().into()
}

fn frame(body: Body) -> ServerFrame {
    ServerFrame { session_seq: 0, re: 0, body: Some(body) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_pushed_entry_is_the_message_with_its_conversation(message in any::message(), conversation in "[a-z:~]{1,40}") {
        let pushed = splice::push_frame(&conversation, &stored(&message));
        let expected = frame(Body::Message(Message { conversation, ..message }));
        prop_assert_eq!(pushed.as_ref(), expected.encode_to_vec());
    }

    #[test]
    fn a_session_seq_in_front_of_a_body_is_that_frame(message in any::message(), session_seq in 1u64..) {
        let body = frame(Body::Message(message));
        let mut out = BytesMut::new();
        splice::put_session_seq(session_seq, &mut out);
        prop_assert_eq!(out.len(), splice::session_seq_len(session_seq));
        prop_assert!(out.len() <= splice::MAX_SESSION_SEQ_BYTES);
        out.extend_from_slice(&body.encode_to_vec());
        let expected = ServerFrame { session_seq, ..body };
        prop_assert_eq!(out.as_ref(), expected.encode_to_vec());
    }

    #[test]
    fn a_spliced_sync_result_is_that_result(re in 1u64.., ranges in vec(any::synced_range(), 0..4)) {
        let parts: Vec<RangeParts> = ranges.iter().map(taken_apart).collect();
        let made = splice::sync_result_frame(re, &parts);
        let decoded = ServerFrame::decode(made.clone()).unwrap();
        let ranges: Vec<SyncedRange> = ranges.into_iter().map(without_names).collect();
        let expected = ServerFrame { re, ..frame(Body::SyncResult(SyncResult { ranges })) };
        prop_assert_eq!(&decoded, &expected);
        prop_assert_eq!(made.len(), expected.encoded_len());
    }

    #[test]
    fn a_range_knows_its_size(range in any::synced_range()) {
        let parts = taken_apart(&range);
        let alone = splice::sync_result_frame(0, std::slice::from_ref(&parts));
        // `re` takes two bytes, the result's tag one, its length as many as a varint needs.
        let inner = parts.encoded_len();
        prop_assert_eq!(alone.len(), 2 + 1 + prost::length_delimiter_len(inner) + inner);
        let entries: usize = parts.entries.iter().map(|e| splice::synced_entry_len(e.len())).sum();
        let bare = RangeParts { range: parts.range.clone(), entries: Vec::new() };
        prop_assert!(inner >= bare.encoded_len() + entries);
    }

    #[test]
    fn a_direct_conversation_has_one_well_formed_name(one in "[ -}]{1,64}", other in "[ -}]{1,64}") {
        prop_assume!(one != other);
        let name = names::direct(&one, &other);
        prop_assert_eq!(&name, &names::direct(&other, &one));
        prop_assert_eq!(check::conversation(&name), Ok(()));
        prop_assert_eq!(names::direct_peer(&name, &one), Some(other.as_str()));
        prop_assert_eq!(names::direct_peer(&name, &other), Some(one.as_str()));
    }

    #[test]
    fn ids_are_accepted_exactly_within_their_bounds(text in any::name(), length in 0usize..200) {
        let long = "x".repeat(length);
        prop_assert_eq!(check::user(&long).is_ok(), (1..=64).contains(&length));
        prop_assert_eq!(check::conversation(&long).is_ok(), (1..=132).contains(&length));
        let fine = !text.is_empty() && !text.contains(['~']) && !text.chars().any(char::is_control);
        prop_assert_eq!(check::user(&text).is_ok(), fine);
    }
}

fn taken_apart(range: &SyncedRange) -> RangeParts {
    let entries = range.messages.iter().map(stored).collect();
    RangeParts { range: SyncedRange { messages: Vec::new(), ..range.clone() }, entries }
}

/// Inside a range a message does not repeat its conversation.
fn without_names(mut range: SyncedRange) -> SyncedRange {
    range.messages.iter_mut().for_each(|message| message.conversation.clear());
    range
}
