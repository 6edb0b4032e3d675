//! What the server answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::code::Code;
use protocol::v1;
use protocol::v1::server_frame::Body as Told;

use super::{Action, Pending, Session};
use crate::error::RequestError;
use crate::inboxes::StreamId;
use crate::message::{Ack, Message};
use crate::outgoing::Item;
use crate::reconnect::full_jitter;

impl Session {
    pub(super) fn on_answer(&mut self, now: Instant, re: u64, pending: Pending, body: Told) {
        match pending {
            Pending::Send { lane } => self.on_send_answer(now, re, &lane, body),
            Pending::Sync { streams } => self.on_sync_answer(now, streams, body),
            Pending::Request => self.on_request_answer(now, re, body),
            Pending::Housekeeping => self.on_housekeeping_answer(now, body),
        }
    }

    /// The answer has a body this client does not know.
    pub(super) fn on_unreadable(&mut self, now: Instant, re: u64, pending: Pending) {
        let message = "an answer that this client does not know".to_owned();
        let error = v1::Error { code: Code::UNIMPLEMENTED.number(), message, ..Default::default() };
        self.on_answer(now, re, pending, Told::Error(error));
    }

    fn on_send_answer(&mut self, now: Instant, re: u64, lane: &str, body: Told) {
        match body {
            Told::SendAck(ack) => {
                let item = self.outgoing.on_ack(lane, re);
                item.into_iter().for_each(|item| self.on_ack(now, lane, item, &ack));
            }
            Told::Error(error) if error.code == Code::OUT_OF_ORDER.number() => {
                let wait = self.wait(&error, self.outgoing.failures(lane));
                self.outgoing.on_overtaking(now, lane, re, wait);
            }
            Told::Error(error) if error.retryable => {
                let wait = self.wait(&error, self.outgoing.failures(lane));
                self.outgoing.on_retry(now, lane, re, wait);
            }
            Told::Error(error) => self.refuse(lane, re, RequestError::from_wire(error)),
            _ => self.refuse(lane, re, RequestError::Unexpected),
        }
    }

    fn refuse(&mut self, lane: &str, re: u64, error: RequestError) {
        if let Some(item) = self.outgoing.on_refused(lane, re) {
            self.actions.push(Action::Settle(item.id, Err(error)));
        }
    }

    /// The sending device gets no push of its own message, so its streams are given what was sent. A duplicate
    /// was stored earlier: its streams read it from the log.
    fn on_ack(&mut self, now: Instant, lane: &str, item: Item, ack: &v1::SendAck) {
        let settled = Ack { seq: ack.seq, at_ms: ack.at_ms, duplicate: ack.duplicate };
        self.actions.push(Action::Settle(item.id, Ok(settled)));
        if ack.duplicate {
            self.inboxes.tell_tip(lane, ack.seq);
        } else if ack.seq > 0 && self.inboxes.reads(lane) {
            let message = self.own_message(lane, item, ack);
            self.deliver(now, &message);
        }
    }

    fn own_message(&self, lane: &str, item: Item, ack: &v1::SendAck) -> Message {
        let message = v1::Message {
            conversation: lane.to_owned(),
            seq: ack.seq,
            at_ms: ack.at_ms,
            sender: self.me.user.clone(),
            sender_device: self.me.device_id,
            client_msg_id: Bytes::copy_from_slice(&item.id),
            content: item.send.content,
            relation: item.send.relation,
            hidden: item.send.hidden,
            ..Default::default()
        };
        Message::from_wire(message, lane)
    }

    fn on_sync_answer(&mut self, now: Instant, streams: Vec<StreamId>, body: Told) {
        self.syncs = self.syncs.saturating_sub(1);
        let ranges = match body {
            Told::SyncResult(result) => result.ranges,
            Told::Error(error) => {
                return streams.into_iter().for_each(|id| self.on_unread(now, id, &error));
            }
            _ => Vec::new(),
        };
        let mut ranges = ranges.into_iter();
        for id in streams {
            match ranges.next() {
                Some(v1::SyncedRange { error: Some(error), .. }) => self.on_unread(now, id, &error),
                Some(range) => self.on_range(now, id, range),
                None => self.on_unread(now, id, &Code::INTERNAL.plain_error()),
            }
        }
    }

    fn on_range(&mut self, now: Instant, id: StreamId, range: v1::SyncedRange) {
        for message in self.inboxes.on_range(now, id, range) {
            self.actions.push(Action::Deliver(id, Box::new(message)));
        }
    }

    /// A stream's range could not be read.
    fn on_unread(&mut self, now: Instant, id: StreamId, error: &v1::Error) {
        let conversation = self.inboxes.conversation(id).unwrap_or_default();
        let direct = protocol::names::direct_peer(conversation, &self.me.user).is_some();
        if error.retryable {
            let wait = self.wait(error, 2);
            self.inboxes.on_failed(now, id, wait);
        } else if direct && error.code == Code::NOT_FOUND.number() {
            self.inboxes.on_absent(id);
        } else {
            self.inboxes.close(id);
            self.actions.push(Action::End(id, RequestError::from_wire(error.clone())));
        }
    }

    fn on_request_answer(&mut self, now: Instant, re: u64, body: Told) {
        let answer = match body {
            Told::Error(error) if error.retryable => {
                let wait = self.wait(&error, self.requests.retries(re));
                let ticket = self.requests.on_retry(now, re, wait);
                ticket.map(|ticket| (ticket, Err(RequestError::from_wire(error))))
            }
            Told::Error(error) => {
                self.requests.on_answer(re).map(|ticket| (ticket, Err(RequestError::from_wire(error))))
            }
            body => {
                self.note(&body);
                self.requests.on_answer(re).map(|ticket| (ticket, Ok(body)))
            }
        };
        let action = answer.map(|(ticket, answer)| Action::Answer(ticket, Box::new(answer)));
        self.actions.extend(action);
    }

    /// Answers that also tell the session something.
    fn note(&mut self, body: &Told) {
        match body {
            Told::SendAck(ack) => self.inboxes.tell_tip(&ack.conversation, ack.seq),
            Told::Watching(_) => self.watching = true,
            _ => {}
        }
    }

    fn on_housekeeping_answer(&mut self, now: Instant, body: Told) {
        match body {
            Told::AuthRefreshed(refreshed) => {
                self.expect_expiry(now, refreshed.server_time_ms, refreshed.expires_ms);
            }
            Told::Watching(watching) => {
                self.watching = true;
                self.on_watching(watching);
            }
            _ => {}
        }
    }

    /// What the server asks to wait, and full jitter on top.
    fn wait(&mut self, error: &v1::Error, failures: u32) -> Duration {
        Duration::from_millis(u64::from(error.retry_after_ms)) + full_jitter(failures, &mut self.rng)
    }
}
