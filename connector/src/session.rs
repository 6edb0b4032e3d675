//! A logged-in device's session: what a frame from the device asks the connection to do.
//!
//! Pure: frames in, actions out. It decides what the connector answers itself, what goes to the channel node, and
//! when a peer has broken the protocol.

use std::sync::Arc;
use std::time::Duration;

use protocol::code::Code;
use protocol::node::v1::{Identity, Request};
use protocol::v1::client_frame::Body;
use protocol::v1::server_frame::Body as Answer;
use protocol::v1::{ClientFrame, Pong};

use crate::bucket::{Bucket, Rate};

/// Requests without an id that a device may send per second, and at once after a pause.
const UNANSWERED: Rate = Rate { per_second: 20, burst: 60 };

/// A device that is logged in on one connection.
pub struct Session {
    device: u64,
    epoch: u64,
    identity: Arc<Identity>,
    /// What requests without an id may still cost.
    unanswered: Bucket,
}

/// What to do about a frame.
#[derive(Debug, PartialEq)]
pub enum Action {
    Nothing,
    /// Hand over to the channel node; `heavy` says that the answer may fill a frame.
    Forward {
        request: Request,
        heavy: bool,
    },
    /// Answer request `re` (0 for none).
    Answer {
        re: u64,
        body: Answer,
    },
    /// Check this token and tell [`Session::refreshed`].
    Verify {
        re: u64,
        token: String,
    },
    /// End the connection.
    Close(Code),
    /// The device said Bye.
    Leave,
}

impl Session {
    /// A session that has just been welcomed.
    pub fn new(device: u64, epoch: u64, identity: Arc<Identity>) -> Self {
        Self { device, epoch, identity, unanswered: Bucket::default() }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Takes a frame; its acknowledgement was taken already. `now` is a second that never falls.
    pub fn on_frame(&mut self, frame: ClientFrame, now: u32) -> Action {
        let re = frame.id;
        match frame.body {
            Some(Body::Ping(_)) => Action::Answer { re, body: Answer::Pong(Pong {}) },
            Some(Body::Bye(_)) => Action::Leave,
            Some(Body::Hello(_)) => Action::Close(Code::UNEXPECTED_HELLO),
            Some(Body::RefreshAuth(refresh)) => Action::Verify { re, token: refresh.token },
            // A frame that only acknowledges, or a body this version does not know and that wants no answer.
            None if re == 0 => Action::Nothing,
            None => Action::Answer { re, body: Answer::Error(Code::UNIMPLEMENTED.plain_error()) },
            Some(body) => self.forward(re, body, now),
        }
    }

    /// The outcome of [`Action::Verify`] at `now_ms`, milliseconds since 1970.
    pub fn refreshed(&mut self, re: u64, verified: Result<(Identity, i64), Code>, now_ms: i64) -> Action {
        match verified {
            Ok((identity, _)) if !self.is_same_user(&identity) => {
                Action::Answer { re, body: Answer::Error(Code::TOKEN_FOR_ANOTHER_USER.plain_error()) }
            }
            Ok((identity, expires_ms)) => {
                self.identity = Arc::new(identity);
                let refreshed = protocol::v1::AuthRefreshed { expires_ms, server_time_ms: now_ms };
                let body = Answer::AuthRefreshed(refreshed);
                Action::Answer { re, body }
            }
            Err(code) => Action::Answer { re, body: Answer::Error(code.plain_error()) },
        }
    }

    fn forward(&mut self, id: u64, body: Body, now: u32) -> Action {
        if id == 0
            && let Some(instead) = self.without_id(&body, now)
        {
            return instead;
        }
        let heavy = matches!(body, Body::Sync(_) | Body::ListConversations(_) | Body::ListMembers(_));
        let request = Request {
            identity: Some((*self.identity).clone()),
            device_id: self.device,
            epoch: self.epoch,
            frame: Some(ClientFrame { ack: 0, id, body: Some(body) }),
        };
        Action::Forward { request, heavy }
    }

    /// What to do instead of forwarding a request that wants no answer. Nothing counts how many of those are under
    /// way, so only what is cheap may come so, and only so many per second.
    fn without_id(&mut self, body: &Body, now: u32) -> Option<Action> {
        let refuse = |error| Some(Action::Answer { re: 0, body: Answer::Error(error) });
        if !matches!(body, Body::Mark(_) | Body::Signal(_)) {
            return refuse(Code::INVALID_REQUEST.error("this request needs an id"));
        }
        match (self.unanswered.take(UNANSWERED, Duration::from_secs(now.into())), body) {
            (Ok(()), _) => None,
            (Err(_), Body::Signal(_)) => Some(Action::Nothing),
            (Err(_), _) => refuse(Code::SLOW_DOWN.plain_error()),
        }
    }

    fn is_same_user(&self, other: &Identity) -> bool {
        self.identity.tenant == other.tenant && self.identity.user == other.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::v1;

    fn identity(user: &str) -> Identity {
        Identity { tenant: "t".into(), user: user.into(), ..Identity::default() }
    }

    fn session() -> Session {
        Session::new(7, 1, Arc::new(identity("alice")))
    }

    fn frame(id: u64, body: Option<Body>) -> ClientFrame {
        ClientFrame { ack: 0, id, body }
    }

    fn code(action: Action) -> Option<u32> {
        match action {
            Action::Answer { body: Answer::Error(error), .. } => Some(error.code),
            _ => None,
        }
    }

    #[test]
    fn a_request_carries_the_identity_of_the_session_not_of_the_payload() {
        let send = Body::Send(v1::Send { conversation: "c".into(), ..v1::Send::default() });
        let Action::Forward { request, heavy } = session().on_frame(frame(3, Some(send)), 0) else {
            panic!("a send is forwarded")
        };
        assert_eq!(request.identity, Some(identity("alice")));
        assert_eq!((request.device_id, request.epoch, heavy), (7, 1, false));
        assert_eq!(request.frame.map(|frame| frame.id), Some(3));
    }

    #[test]
    fn an_unknown_request_is_unimplemented_only_if_it_wants_an_answer() {
        assert_eq!(code(session().on_frame(frame(9, None), 0)), Some(305));
        assert_eq!(session().on_frame(frame(0, None), 0), Action::Nothing);
    }

    #[test]
    fn what_needs_an_answer_needs_an_id() {
        let send = Some(Body::Send(v1::Send::default()));
        assert_eq!(code(session().on_frame(frame(0, send), 0)), Some(300));
        let typing = Some(Body::Signal(v1::Signal::default()));
        assert!(matches!(session().on_frame(frame(0, typing), 0), Action::Forward { .. }));
    }

    #[test]
    fn what_wants_no_answer_comes_at_a_bounded_rate() {
        let mut session = session();
        let mut forwarded = |body: &Body, now| {
            let action = session.on_frame(frame(0, Some(body.clone())), now);
            matches!(action, Action::Forward { .. })
        };
        let typing = Body::Signal(v1::Signal::default());
        let burst = (0..1000).filter(|_| forwarded(&typing, 100)).count();
        assert_eq!(burst, UNANSWERED.burst as usize);
        let later = (0..1000).filter(|_| forwarded(&typing, 101)).count();
        assert_eq!(later, UNANSWERED.per_second as usize);
        let mark = Some(Body::Mark(v1::Mark::default()));
        assert_eq!(code(session.on_frame(frame(0, mark), 101)), Some(400), "a mark is not lost in silence");
    }

    #[test]
    fn a_refreshed_token_must_be_the_same_users() {
        let mut session = session();
        assert_eq!(code(session.refreshed(1, Ok((identity("bob"), 5)), 2)), Some(203));
        assert_eq!(code(session.refreshed(1, Err(Code::TOKEN_EXPIRED), 2)), Some(202));
        let body = Answer::AuthRefreshed(v1::AuthRefreshed { expires_ms: 5, server_time_ms: 2 });
        assert_eq!(session.refreshed(1, Ok((identity("alice"), 5)), 2), Action::Answer { re: 1, body });
    }
}
