//! What the server says by itself.

use std::time::Instant;

use protocol::v1;
use protocol::v1::server_frame::Body as Told;

use super::{Action, Session};
use crate::event::Event;
use crate::message::Message;
use crate::reconnect::Lost;

impl Session {
    pub(super) fn on_push(&mut self, now: Instant, body: Told) {
        match body {
            Told::Message(message) => self.on_message(now, Message::from_wire(message, "")),
            Told::Head(head) => self.on_head(head),
            Told::Cursor(cursor) => self.on_cursor(cursor),
            Told::Presence(presence) => self.on_presence(presence),
            Told::Watching(watching) => self.on_watching(watching),
            Told::Signal(signal) => self.emit(Event::Signal {
                conversation: signal.conversation,
                user: signal.user,
                kind: signal.r#type,
                data: signal.data,
            }),
            Told::Tune(tune) => self.pulse.set_heartbeat(tune.heartbeat_ms),
            Told::GoAway(go_away) => self.hang_up(Lost::go_away(go_away)),
            Told::Error(error) => self.hang_up(Lost::error(error)),
            // Late answers to what is no longer awaited.
            _ => {}
        }
    }

    fn on_message(&mut self, now: Instant, message: Message) {
        let added = message.members_changed.iter().flat_map(|changed| &changed.added);
        if added.map(|member| &member.user).any(|user| *user == self.me.user) {
            self.emit(Event::NewConversation { conversation: message.conversation.clone() });
        }
        if message.seq == 0 {
            self.emit(Event::Unstored(Box::new(message)));
        } else if self.inboxes.reads(&message.conversation) {
            self.deliver(now, &message);
        } else {
            let (conversation, seq) = (message.conversation.clone(), message.seq);
            self.emit(Event::Activity { conversation, seq, message: Some(Box::new(message)) });
        }
    }

    pub(super) fn deliver(&mut self, now: Instant, message: &Message) {
        for (stream, message) in self.inboxes.offer(now, message) {
            self.actions.push(Action::Deliver(stream, Box::new(message)));
        }
    }

    fn on_head(&mut self, head: v1::Head) {
        if self.inboxes.reads(&head.conversation) {
            self.inboxes.tell_tip(&head.conversation, head.tip);
        } else {
            let v1::Head { conversation, tip: seq } = head;
            self.emit(Event::Activity { conversation, seq, message: None });
        }
    }

    fn on_cursor(&mut self, cursor: v1::Cursor) {
        let v1::Cursor { conversation, user, read, delivered } = cursor;
        self.emit(Event::Cursor { conversation, user, read, delivered });
    }

    pub(super) fn on_watching(&mut self, watching: v1::Watching) {
        watching.presences.into_iter().for_each(|presence| self.on_presence(presence));
    }

    pub(super) fn on_presence(&mut self, presence: v1::Presence) {
        let away = presence.state() == v1::presence::State::Away;
        let v1::Presence { user, online, since_ms, .. } = presence;
        self.emit(Event::Presence { user, online, away, since_ms });
    }
}
