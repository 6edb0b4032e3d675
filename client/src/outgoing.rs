//! Sends that the server has not acknowledged: one ordered lane per conversation. Pure.
//!
//! A lane pipelines: each send names its unacknowledged predecessor, so the server refuses what would overtake.
//! After a retryable error the lane waits, sends its first alone, and opens up again with the first ack.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::limit::MAX_REQUESTS_IN_FLIGHT;
use protocol::v1::Send;

use crate::message::MessageId;

/// Most sends unanswered at once; the other half is left to everything else.
pub const SENDS_IN_FLIGHT: usize = MAX_REQUESTS_IN_FLIGHT as usize / 2;

/// One send on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    pub id: MessageId,
    pub send: Send,
    state: State,
    /// How often the server said that it overtook another.
    overtook: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Queued,
    /// Sent under this request id.
    InFlight(u64),
}

#[derive(Debug, Default)]
struct Lane {
    items: VecDeque<Item>,
    in_flight: usize,
    /// Retryable errors since the last ack.
    failures: u32,
    /// Nothing is sent before this time.
    after: Option<Instant>,
    /// Stands in `ready`.
    listed: bool,
}

/// The pure state of all lanes.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// Sorted, so that what is sent again after a loss goes out in an order that can be repeated.
    lanes: BTreeMap<String, Lane>,
    /// Lanes that may have something to send, each once, in turn.
    ready: VecDeque<String>,
    waiting: BTreeSet<(Instant, String)>,
    in_flight: usize,
}

impl Outgoing {
    /// Queues a send behind the others of its conversation.
    pub fn push(&mut self, conversation: &str, id: MessageId, send: Send) {
        let item = Item { id, send, state: State::Queued, overtook: 0 };
        self.lanes.entry(conversation.to_owned()).or_default().items.push_back(item);
        self.make_ready(conversation);
    }

    /// Nothing is queued and nothing unanswered.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// The next send to go out, under this request id, with its lane. Lanes take turns.
    pub fn next(&mut self, request: u64) -> Option<(String, Send)> {
        while self.in_flight < SENDS_IN_FLIGHT {
            let conversation = self.ready.pop_front()?;
            let Some(lane) = self.lanes.get_mut(&conversation) else { continue };
            lane.listed = false;
            if let Some(send) = lane.next(request) {
                self.in_flight += 1;
                self.make_ready(&conversation);
                return Some((conversation, send));
            }
        }
        None
    }

    /// The server stored it. Returns what was sent.
    pub fn on_ack(&mut self, conversation: &str, request: u64) -> Option<Item> {
        let item = self.take(conversation, request)?;
        if let Some(lane) = self.lanes.get_mut(conversation) {
            lane.failures = 0;
        }
        self.settle(conversation);
        Some(item)
    }

    /// The server refuses it for good. Returns what was sent; what stands behind it goes on.
    pub fn on_refused(&mut self, conversation: &str, request: u64) -> Option<Item> {
        let item = self.take(conversation, request);
        self.settle(conversation);
        item
    }

    /// The server may take it later: the lane waits this long.
    pub fn on_retry(&mut self, now: Instant, conversation: &str, request: u64, wait: Duration) {
        let Some((lane, _)) = self.requeue(conversation, request) else { return };
        lane.failures = lane.failures.saturating_add(1);
        self.delay(conversation, now + wait);
    }

    /// It overtook another. It is sent again in order: at once the first time, then after `wait`.
    pub fn on_overtaking(&mut self, now: Instant, conversation: &str, request: u64, wait: Duration) {
        let Some((lane, position)) = self.requeue(conversation, request) else { return };
        let Some(item) = lane.items.get_mut(position) else { return };
        item.overtook += 1;
        if item.overtook > 1 && lane.after.is_none() {
            lane.failures = lane.failures.saturating_add(1);
            self.delay(conversation, now + wait);
        }
        self.make_ready(conversation);
    }

    /// How often this lane failed since its last ack.
    pub fn failures(&self, conversation: &str) -> u32 {
        self.lanes.get(conversation).map_or(0, |lane| lane.failures)
    }

    /// The connection is gone: everything unanswered is sent again, in order.
    pub fn on_lost(&mut self) {
        self.in_flight = 0;
        self.waiting.clear();
        self.ready.clear();
        for (conversation, lane) in &mut self.lanes {
            lane.items.iter_mut().for_each(|item| (item.state, item.overtook) = (State::Queued, 0));
            (lane.in_flight, lane.failures, lane.after, lane.listed) = (0, 0, None, true);
            self.ready.push_back(conversation.clone());
        }
    }

    /// Takes everything, for when there will be no further connection.
    pub fn drain(&mut self) -> Vec<Item> {
        let lanes = std::mem::take(self).lanes;
        lanes.into_values().flat_map(|lane| lane.items).collect()
    }

    /// Opens lanes whose wait is over.
    pub fn wake(&mut self, now: Instant) {
        while let Some((at, conversation)) = self.waiting.first().cloned().filter(|(at, _)| *at <= now) {
            self.waiting.remove(&(at, conversation.clone()));
            if let Some(lane) = self.lanes.get_mut(&conversation) {
                lane.after = None;
            }
            self.make_ready(&conversation);
        }
    }

    /// When [`Outgoing::wake`] is to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    fn make_ready(&mut self, conversation: &str) {
        if let Some(lane) = self.lanes.get_mut(conversation).filter(|lane| !lane.listed) {
            lane.listed = true;
            self.ready.push_back(conversation.to_owned());
        }
    }

    /// Removes an answered item.
    fn take(&mut self, conversation: &str, request: u64) -> Option<Item> {
        let lane = self.lanes.get_mut(conversation)?;
        let item = lane.items.remove(lane.position(request)?)?;
        lane.in_flight -= 1;
        self.in_flight -= 1;
        Some(item)
    }

    fn requeue(&mut self, conversation: &str, request: u64) -> Option<(&mut Lane, usize)> {
        let lane = self.lanes.get_mut(conversation)?;
        let position = lane.position(request)?;
        lane.items.get_mut(position)?.state = State::Queued;
        lane.in_flight -= 1;
        self.in_flight -= 1;
        Some((lane, position))
    }

    fn settle(&mut self, conversation: &str) {
        match self.lanes.get(conversation) {
            Some(lane) if !lane.items.is_empty() => self.make_ready(conversation),
            Some(lane) => {
                if let Some(at) = lane.after {
                    self.waiting.remove(&(at, conversation.to_owned()));
                }
                self.lanes.remove(conversation);
            }
            None => {}
        }
    }

    fn delay(&mut self, conversation: &str, at: Instant) {
        let Some(lane) = self.lanes.get_mut(conversation) else { return };
        if let Some(earlier) = lane.after {
            self.waiting.remove(&(earlier, conversation.to_owned()));
        }
        let at = lane.after.map_or(at, |earlier| earlier.max(at));
        lane.after = Some(at);
        self.waiting.insert((at, conversation.to_owned()));
    }
}

impl Lane {
    /// The first queued item, marked as sent, naming its predecessor.
    fn next(&mut self, request: u64) -> Option<Send> {
        let probing = self.failures > 0 && self.in_flight > 0;
        if self.after.is_some() || probing {
            return None;
        }
        let position = self.items.iter().position(|item| item.state == State::Queued)?;
        let before = position.checked_sub(1).and_then(|before| self.items.get(before));
        let after = before.map_or_else(Bytes::new, |item| Bytes::copy_from_slice(&item.id));
        let item = self.items.get_mut(position)?;
        item.state = State::InFlight(request);
        self.in_flight += 1;
        let client_msg_id = Bytes::copy_from_slice(&item.id);
        Some(Send { client_msg_id, after, ..item.send.clone() })
    }

    fn position(&self, request: u64) -> Option<usize> {
        self.items.iter().position(|item| item.state == State::InFlight(request))
    }
}

#[cfg(test)]
#[path = "outgoing_tests.rs"]
mod tests;
