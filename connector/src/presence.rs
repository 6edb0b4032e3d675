//! What a device has said of presence. The channel node has it from the device; a node that comes to own the user has it
//! from here.

use protocol::limit::{
    MAX_CONVERSATION_BYTES, MAX_LINK_MESSAGE_BYTES, MAX_TENANT_BYTES, MAX_USER_BYTES, MAX_WATCHED,
};
use protocol::node::v1::{AnnouncedSession, Target};
use protocol::v1::client_frame::Body;

use crate::handle::Handle;

/// Sessions in one announcement.
pub(crate) const PAGE: usize = 256;

const _: () = assert!(
    PAGE * (MAX_WATCHED * (MAX_CONVERSATION_BYTES + 4) + MAX_TENANT_BYTES + MAX_USER_BYTES + 64)
        < MAX_LINK_MESSAGE_BYTES
);

/// Of one session. Most have said nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// Nobody sits at the device.
    pub away: bool,
    /// The conversations that it watches.
    pub watched: Vec<String>,
}

impl Presence {
    /// What a request changes; false if nothing. One that no channel node would take changes nothing.
    pub fn hear(&mut self, body: &Body) -> bool {
        let before = self.clone();
        match body {
            Body::SetPresence(said) => self.away = said.away,
            Body::Watch(watch) => {
                let fits = |id: &String| id.len() <= MAX_CONVERSATION_BYTES;
                if watch.conversations.len() <= MAX_WATCHED && watch.conversations.iter().all(fits) {
                    self.watched.clone_from(&watch.conversations);
                }
            }
            _ => {}
        }
        *self != before
    }

    /// Whether a body may change anything.
    pub fn concerns(body: &Body) -> bool {
        matches!(body, Body::SetPresence(_) | Body::Watch(_))
    }
}

/// A session as it is told to a channel node.
pub(crate) fn announced(handle: &Handle) -> AnnouncedSession {
    let Presence { away, watched } = handle.presence();
    AnnouncedSession {
        tenant: handle.identity.tenant.clone(),
        user: handle.identity.user.clone(),
        target: Some(Target { device_id: handle.device, epoch: handle.epoch }),
        suspended: handle.away_since().is_some(),
        away,
        watched,
    }
}

#[cfg(test)]
mod tests {
    use protocol::v1::{SetPresence, Watch};

    use super::*;

    #[test]
    fn the_latest_counts_and_what_is_too_much_is_not_kept() {
        let watch = |conversations: &[&str]| {
            Body::Watch(Watch { conversations: conversations.iter().map(|id| (*id).to_owned()).collect() })
        };
        let mut presence = Presence::default();
        assert!(presence.hear(&Body::SetPresence(SetPresence { away: true })));
        assert!(!presence.hear(&Body::SetPresence(SetPresence { away: true })));
        assert!(presence.hear(&watch(&["a", "b"])) && presence.hear(&watch(&["b"])));
        assert!(!presence.hear(&watch(&["c"; MAX_WATCHED + 1])));
        assert!(!presence.hear(&watch(&[&"x".repeat(MAX_CONVERSATION_BYTES + 1)])));
        assert_eq!(presence, Presence { away: true, watched: vec!["b".into()] });
    }
}
