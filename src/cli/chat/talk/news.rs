//! What the server tells a person.

use super::*;

/// What the server brings.
impl Talk {
    pub(super) async fn on_message(&mut self, message: &Message) {
        let added = message.members_changed.iter().flat_map(|changed| &changed.added);
        if added.into_iter().any(|member| !self.names.contains_key(&member.user)) {
            self.refresh().await;
        }
        let line = line::message(message, self.client.user(), &self.names);
        line.iter().for_each(|line| self.screen.show(line));
    }

    /// A new conversation, or one with new members: who they are, and whether they are online.
    pub(super) async fn refresh(&mut self) {
        let Some(room) = &self.room else { return };
        let id = room.conversation.id().to_owned();
        let members = room.members().await.unwrap_or_default();
        self.learn(&members);
        let title = self.list.title(&self.client, &id, &self.names);
        self.room.iter_mut().for_each(|room| room.title.clone_from(&title));
        // As on entering: without presence one talks all the same.
        _ = self.client.watch([id]).await;
    }

    pub(super) fn on_room_end(&mut self, error: Option<RequestError>) {
        let title = self.room.take().map(|room| room.title).unwrap_or_default();
        let reason = error.map(|error| format!(": {error}")).unwrap_or_default();
        self.screen.show(&format!("! {title} is closed{reason}"));
    }

    pub(super) fn on_sent(&mut self, text: &str, result: Result<Ack, SendError>) {
        if let Err(error) = result {
            self.screen.show(&format!("! not sent: {} — {error}", line::plain(text)));
        }
    }

    pub(super) async fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected { .. } if !self.online => {
                self.online = true;
                self.screen.show("· connected again");
            }
            Event::Disconnected { reason, retry_in, .. } => self.on_disconnected(&reason, retry_in),
            Event::Superseded => self.screen.show("! this device signed in elsewhere"),
            Event::Presence { user, online, .. } if self.is_news(&user, online) => {
                let state = if online { "is online" } else { "went away" };
                self.screen.show(&format!("· {} {state}", line::name(&user, &self.names)));
            }
            Event::Signal { conversation, user, kind, .. }
                if kind == TYPING && self.is_open(&conversation) =>
            {
                self.screen.show(&format!("· {} is typing …", line::name(&user, &self.names)));
            }
            Event::Activity { conversation, message, .. } => {
                self.on_activity(conversation, message.as_deref()).await;
            }
            _ => {}
        }
    }

    pub(super) fn on_disconnected(&mut self, reason: &str, retry_in: Option<Duration>) {
        let first = std::mem::take(&mut self.online);
        let reason = line::plain(reason);
        match retry_in {
            // Quick retries are not worth a line each.
            Some(wait) if !first && wait < LONG_WAIT => {}
            Some(wait) => {
                let when = line::wait(wait);
                self.screen.show(&format!("· connection lost: {reason}; trying again {when}"));
            }
            None => {
                self.screen.show(&format!("! connection ended: {reason}"));
                self.done = true;
            }
        }
    }

    pub(super) async fn on_activity(&mut self, conversation: String, message: Option<&Message>) {
        let own = message.is_some_and(|message| message.sender == self.client.user());
        let shown = message.is_some_and(|message| {
            !message.hidden && message.members_changed.is_none() && message.change().is_none()
        });
        if own || !shown {
            return;
        }
        self.list.find_new(&self.client, &conversation).await;
        let unread = self.unread.entry(conversation.clone()).or_default();
        *unread += 1;
        let unread = *unread;
        self.announce(&conversation, unread);
    }

    /// What was said elsewhere while there was no connection.
    pub(super) async fn catch_up(&mut self) {
        let changed = match self.list.changed(&self.client).await {
            Ok(changed) => changed,
            Err(error) => return self.screen.show(&format!("! your conversations: {error}")),
        };
        for row in changed {
            if row.active && row.unread > 0 && !self.is_open(&row.conversation) {
                self.announce(&row.conversation, row.unread);
                self.unread.insert(row.conversation, row.unread);
            }
        }
    }

    pub(super) fn announce(&mut self, conversation: &str, unread: u64) {
        let title = self.list.title(&self.client, conversation, &self.names);
        let open = match (
            self.list.number(conversation),
            protocol::names::direct_peer(conversation, self.client.user()),
        ) {
            (Some(number), _) => format!("/open {number}"),
            (None, Some(peer)) => format!("/to {}", line::plain(peer)),
            (None, None) => format!("/open {}", line::plain(conversation)),
        };
        self.screen.show(&format!("· {unread} new in {title} ({open})"));
    }

    /// Whether this is a change: after a reconnect the server tells everybody's presence again.
    pub(super) fn is_news(&mut self, user: &str, online: bool) -> bool {
        let before = self.present.insert(user.to_owned(), online).unwrap_or(false);
        before != online && user != self.client.user()
    }

    pub(super) fn is_open(&self, conversation: &str) -> bool {
        self.room.as_ref().is_some_and(|room| room.conversation.id() == conversation)
    }
}
