//! What a device has said of presence. The channel node has it from the device; a node that comes to own the user has it
//! from here.

use protocol::Proto as _;
use protocol::code::Code;
use protocol::limit::{
    MAX_CONVERSATION_BYTES, MAX_LINK_MESSAGE_BYTES, MAX_TENANT_BYTES, MAX_USER_BYTES, MAX_WATCHED,
};
use protocol::node::v1::{AnnouncedSession, Target};
use protocol::splice;
use protocol::v1::ServerFrame;
use protocol::v1::client_frame::Body;
use protocol::v1::server_frame::Body as Answer;

use crate::handle::Handle;

/// Sessions in one announcement.
pub(crate) const PAGE: usize = 256;

const _: () = assert!(
    PAGE * (MAX_WATCHED * (MAX_CONVERSATION_BYTES + 4) + MAX_TENANT_BYTES + MAX_USER_BYTES + 64)
        < MAX_LINK_MESSAGE_BYTES
);

/// Watches under way that are remembered until they are answered; of more than that the latest.
const MAX_ASKED: usize = 4;

/// Of one session. Most have said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Nobody sits at the device.
    pub away: bool,
    /// The conversations that it watches, as a channel node has taken it.
    taken: Vec<String>,
    /// Watches that are not answered: the request's id and the conversations, the latest last.
    asked: Vec<(u64, Vec<String>)>,
}

impl Presence {
    /// Notes what the request `id` says. One that no channel node would take changes nothing.
    pub fn hear(&mut self, id: u64, body: &Body) {
        match body {
            Body::SetPresence(said) => self.away = said.away,
            Body::Watch(watch) => {
                let fits = |id: &String| id.len() <= MAX_CONVERSATION_BYTES;
                if watch.conversations.len() <= MAX_WATCHED && watch.conversations.iter().all(fits) {
                    self.asked.push((id, watch.conversations.clone()));
                    self.asked.drain(..self.asked.len().saturating_sub(MAX_ASKED));
                }
            }
            _ => {}
        }
    }

    /// Notes an answer, an encoded frame: a Watch that was refused is forgotten, what was watched before goes on. Of one
    /// whose outcome nobody knows it is taken that it was not refused.
    pub fn answered(&mut self, frame: &[u8]) {
        let re = splice::peek_re(frame);
        let Some(at) = self.asked.iter().position(|(id, _)| *id == re) else { return };
        let body = ServerFrame::decode(frame).ok().and_then(|frame| frame.body);
        match body {
            Some(Answer::Error(error)) if error.code != Code::OUTCOME_UNKNOWN.number() => {
                self.asked.remove(at);
            }
            // Those before it have been replaced, whatever is answered to them.
            _ => {
                self.taken =
                    self.asked.drain(..=at).next_back().map(|(_, watched)| watched).unwrap_or_default()
            }
        }
    }

    /// The ids of requests begin anew with each connection: what is under way is taken as it was asked.
    pub fn begin_anew(&mut self) {
        if let Some((_, watched)) = self.asked.drain(..).next_back() {
            self.taken = watched;
        }
    }

    /// The conversations that the device watches, or has asked to.
    pub fn watched(&self) -> &[String] {
        self.asked.last().map_or(&self.taken, |(_, watched)| watched)
    }

    /// Whether a body may change anything.
    pub fn concerns(body: &Body) -> bool {
        matches!(body, Body::SetPresence(_) | Body::Watch(_))
    }
}

/// A session as it is told to a channel node.
pub(crate) fn announced(handle: &Handle) -> AnnouncedSession {
    let presence = handle.presence();
    AnnouncedSession {
        tenant: handle.identity.tenant.clone(),
        user: handle.identity.user.clone(),
        target: Some(Target { device_id: handle.device, epoch: handle.epoch }),
        suspended: handle.away_since().is_some(),
        away: presence.away,
        watched: presence.watched().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1::{SetPresence, Watch, Watching};

    use super::*;

    fn watch(conversations: &[&str]) -> Body {
        Body::Watch(Watch { conversations: conversations.iter().map(|id| (*id).to_owned()).collect() })
    }

    fn answer(re: u64, body: Answer) -> Vec<u8> {
        ServerFrame { session_seq: 0, re, body: Some(body) }.encode_to_vec()
    }

    fn refusal(re: u64, code: Code) -> Vec<u8> {
        answer(re, Answer::Error(code.plain_error()))
    }

    fn taken(re: u64) -> Vec<u8> {
        answer(re, Answer::Watching(Watching::default()))
    }

    #[test]
    fn the_latest_counts_and_what_is_too_much_is_not_kept() {
        let mut presence = Presence::default();
        presence.hear(1, &Body::SetPresence(SetPresence { away: true }));
        presence.hear(2, &watch(&["a", "b"]));
        presence.hear(3, &watch(&["b"]));
        presence.hear(4, &watch(&["c"; MAX_WATCHED + 1]));
        presence.hear(5, &watch(&[&"x".repeat(MAX_CONVERSATION_BYTES + 1)]));
        assert!(presence.away);
        assert_eq!(presence.watched(), ["b"]);
        (6..20).for_each(|id| presence.hear(id, &watch(&["d"])));
        assert_eq!(presence.asked.len(), MAX_ASKED);
    }

    #[test]
    fn a_refused_watch_is_forgotten() {
        let mut presence = Presence::default();
        presence.hear(1, &watch(&["not mine"]));
        presence.answered(&refusal(2, Code::NOT_FOUND));
        assert_eq!(presence.watched(), ["not mine"], "that was another request");
        presence.answered(&refusal(1, Code::NOT_FOUND));
        assert_eq!(presence, Presence::default());

        presence.hear(2, &watch(&["a"]));
        presence.answered(&taken(2));
        presence.hear(3, &watch(&["not mine"]));
        presence.answered(&refusal(3, Code::NOT_FOUND));
        assert_eq!(presence.watched(), ["a"], "what was watched before goes on");
        presence.hear(4, &watch(&["b"]));
        presence.answered(&refusal(4, Code::OUTCOME_UNKNOWN));
        assert_eq!(presence.watched(), ["b"], "it may have been taken");
    }

    #[test]
    fn of_several_watches_under_way_the_latest_that_is_taken_counts() {
        let mut presence = Presence::default();
        for (id, conversation) in [(1, "a"), (2, "b"), (3, "c")] {
            presence.hear(id, &watch(&[conversation]));
        }
        presence.answered(&refusal(3, Code::NOT_FOUND));
        assert_eq!(presence.watched(), ["b"]);
        presence.answered(&taken(2));
        presence.answered(&taken(1));
        assert_eq!(presence, Presence { taken: vec!["b".into()], ..Presence::default() });
        presence.hear(3, &watch(&["c"]));
        presence.begin_anew();
        presence.answered(&refusal(3, Code::NOT_FOUND));
        assert_eq!(presence.watched(), ["c"], "a later connection's request has the same id");
    }
}
