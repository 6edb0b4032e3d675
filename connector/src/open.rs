//! What was asked of a channel node and is not answered yet.

use std::sync::Arc;

use protocol::Proto as _;
use protocol::code::Code;
use protocol::node::v1::Attached;
use protocol::node::v1::attached::Outcome;
use protocol::node::v1::to_channel::Body;
use protocol::v1::{ServerFrame, server_frame};

use crate::attach;
use crate::core::Core;

/// What an answer is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Open {
    /// Device, epoch, id.
    Request(u64, u64, u64),
    Attach(u64),
}

impl Open {
    /// `None` for what wants no answer, or whose answer is asked for again if it does not come.
    pub fn of(body: &Body) -> Option<Open> {
        match body {
            Body::Request(request) => {
                let id = request.frame.as_ref().map_or(0, |frame| frame.id);
                (id != 0).then_some(Open::Request(request.device_id, request.epoch, id))
            }
            Body::Attach(attach) => Some(Open::Attach(attach.attach_id)),
            _ => None,
        }
    }

    /// Answers in the channel node's place.
    pub fn refuse(self, core: &Arc<Core>, code: Code) {
        match self {
            Open::Request(device, epoch, re) => {
                let body = Some(server_frame::Body::Error(code.plain_error()));
                let frame = ServerFrame { session_seq: 0, re, body }.encode_to_vec().into();
                core.sessions.with(device, epoch, |handle| handle.answer(frame));
            }
            Open::Attach(attach_id) => {
                let outcome = Some(Outcome::Refused(code.plain_error()));
                attach::attached(core, None, Attached { attach_id, outcome });
            }
        }
    }
}
