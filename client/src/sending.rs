//! One message on its way.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::error::SendError;
use crate::message::{Ack, MessageId};

/// A message that was handed over and is not yet acknowledged. Await it for the [`Ack`]; dropping it does not
/// take the message back.
///
/// It is retried across reconnects until the server stores or refuses it, or the client is closed.
#[must_use = "only the awaited result tells whether the message was stored"]
#[derive(Debug)]
pub struct Sending {
    id: MessageId,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Awaited(oneshot::Receiver<Result<Ack, SendError>>),
    Failed(Option<SendError>),
}

impl Sending {
    /// The message's own id, known before it has a seq; [`crate::Message::id`] repeats it.
    pub fn id(&self) -> MessageId {
        self.id
    }

    pub(crate) fn awaited(id: MessageId, outcome: oneshot::Receiver<Result<Ack, SendError>>) -> Sending {
        Sending { id, outcome: Outcome::Awaited(outcome) }
    }

    pub(crate) fn failed(id: MessageId, error: SendError) -> Sending {
        Sending { id, outcome: Outcome::Failed(Some(error)) }
    }
}

impl Future for Sending {
    type Output = Result<Ack, SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = || SendError::Closed("the client has ended".into());
        match &mut self.outcome {
            Outcome::Awaited(receiver) => {
                Pin::new(receiver).poll(context).map(|result| result.unwrap_or_else(|_| Err(gone())))
            }
            Outcome::Failed(error) => Poll::Ready(Err(error.take().unwrap_or_else(gone))),
        }
    }
}
