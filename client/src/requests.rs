//! Requests other than sends: queued, answered, tried again. Pure.
//!
//! Every request is idempotent (reads, cursors that only rise, and creations under a client_msg_id), so one
//! whose answer was lost with the connection is simply sent again.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use protocol::v1::client_frame::Body;

/// Names one request of the application.
pub type Ticket = u64;

/// Most requests unanswered at once.
pub const REQUESTS_IN_FLIGHT: usize = 16;
/// Most requests that wait.
pub const REQUESTS_QUEUED: usize = 256;
/// How often a request is tried again after a retryable error before the error is the answer.
pub const REQUEST_RETRIES: u32 = 8;

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    pub ticket: Ticket,
    pub body: Body,
    retries: u32,
}

/// The pure state of all requests.
#[derive(Debug, Default)]
pub struct Requests {
    queued: VecDeque<Request>,
    in_flight: BTreeMap<u64, Request>,
    waiting: BTreeMap<(Instant, Ticket), Request>,
}

impl Requests {
    /// Queues a request; `false` if too many wait.
    pub fn push(&mut self, ticket: Ticket, body: Body) -> bool {
        let room = self.queued.len() + self.waiting.len() < REQUESTS_QUEUED;
        if room {
            self.queued.push_back(Request { ticket, body, retries: 0 });
        }
        room
    }

    /// The next request to go out under this id.
    pub fn next(&mut self, id: u64) -> Option<Body> {
        if self.in_flight.len() >= REQUESTS_IN_FLIGHT {
            return None;
        }
        let request = self.queued.pop_front()?;
        let body = request.body.clone();
        self.in_flight.insert(id, request);
        Some(body)
    }

    /// It was answered.
    pub fn on_answer(&mut self, id: u64) -> Option<Ticket> {
        self.in_flight.remove(&id).map(|request| request.ticket)
    }

    /// A retryable error: `None` if it will be tried again after `wait`, else whose answer the error is.
    pub fn on_retry(&mut self, now: Instant, id: u64, wait: Duration) -> Option<Ticket> {
        let mut request = self.in_flight.remove(&id)?;
        if request.retries == REQUEST_RETRIES {
            return Some(request.ticket);
        }
        request.retries += 1;
        self.waiting.insert((now + wait, request.ticket), request);
        None
    }

    /// How often the request under this id was tried again.
    pub fn retries(&self, id: u64) -> u32 {
        self.in_flight.get(&id).map_or(0, |request| request.retries)
    }

    /// The connection is gone: what was unanswered goes first, oldest first.
    pub fn on_lost(&mut self) {
        for (_, request) in std::mem::take(&mut self.in_flight).into_iter().rev() {
            self.queued.push_front(request);
        }
    }

    /// Takes everything, for when there will be no further connection.
    pub fn drain(&mut self) -> Vec<Ticket> {
        let all = std::mem::take(self);
        let requests =
            all.queued.into_iter().chain(all.in_flight.into_values()).chain(all.waiting.into_values());
        requests.map(|request| request.ticket).collect()
    }

    /// Queues requests whose wait is over.
    pub fn wake(&mut self, now: Instant) {
        while let Some(entry) = self.waiting.first_entry().filter(|entry| entry.key().0 <= now) {
            self.queued.push_back(entry.remove());
        }
    }

    /// When [`Requests::wake`] is to be called next.
    pub fn deadline(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::v1::Mark;

    fn body(read: u64) -> Body {
        Body::Mark(Mark { read, ..Default::default() })
    }

    #[test]
    fn a_lost_connection_keeps_the_order() {
        let mut requests = Requests::default();
        for n in 0..4 {
            assert!(requests.push(n, body(n)));
        }
        requests.next(10);
        requests.next(11);
        requests.on_lost();
        let order: Vec<Body> = (20..24).filter_map(|id| requests.next(id)).collect();
        assert_eq!(order, (0..4).map(body).collect::<Vec<_>>());
    }

    #[test]
    fn a_request_is_tried_a_bounded_number_of_times() {
        let mut now = Instant::now();
        let mut requests = Requests::default();
        requests.push(7, body(1));
        for id in 1..=u64::from(REQUEST_RETRIES) {
            assert!(requests.next(id).is_some());
            assert_eq!(requests.on_retry(now, id, Duration::from_secs(1)), None);
            now += Duration::from_secs(1);
            requests.wake(now);
        }
        requests.next(99);
        assert_eq!(requests.on_retry(now, 99, Duration::ZERO), Some(7));
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut requests = Requests::default();
        let taken = (0..1000).filter(|n| requests.push(*n, body(*n))).count();
        assert_eq!(taken, REQUESTS_QUEUED);
    }
}
