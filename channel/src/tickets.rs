//! Requests of the node itself, and who waits for their answers.

use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use protocol::v1::server_frame::Body;
use tokio::sync::oneshot;

/// Ticket → who waits. Bounded by the callers: each holds one ticket and gives it back.
#[derive(Default)]
pub struct Tickets {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    answers: HashMap<u64, oneshot::Sender<Body>>,
}

/// One request of the node itself; dropping it gives the ticket back.
pub struct Ticket {
    tickets: Arc<Tickets>,
    number: u64,
    answer: oneshot::Receiver<Body>,
}

impl Tickets {
    /// A new ticket.
    pub fn take(self: &Arc<Self>) -> Ticket {
        let (sender, answer) = oneshot::channel();
        let mut waiting = self.waiting.lock();
        waiting.last += 1;
        let number = waiting.last;
        waiting.answers.insert(number, sender);
        Ticket { tickets: self.clone(), number, answer }
    }

    /// Answers a ticket; one that was given back is ignored.
    pub fn answer(&self, ticket: u64, body: Body) {
        let waiting = self.waiting.lock().answers.remove(&ticket);
        if let Some(waiting) = waiting {
            // The receiver may have gone meanwhile.
            let _ = waiting.send(body);
        }
    }
}

impl Ticket {
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The answer; `None` if nobody can answer any more.
    pub async fn answered(mut self) -> Option<Body> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tickets.waiting.lock().answers.remove(&self.number);
    }
}
