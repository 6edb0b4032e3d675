//! What handles ask of the client's task.

use std::sync::Arc;

use protocol::v1;
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::error::RequestError;
use crate::inbox::Since;
use crate::inboxes::StreamId;
use crate::message::{Ack, MessageId};
use crate::stream::Buffer;

/// Most commands that wait for the task.
pub const COMMANDS: usize = 4096;

/// Where the outcome of a send goes.
pub struct SendReply {
    pub reply: oneshot::Sender<Result<Ack, RequestError>>,
    /// Its part of the queue's bytes, given back when it is settled.
    pub permit: OwnedSemaphorePermit,
}

/// One command.
pub enum Command {
    Send { conversation: String, id: MessageId, send: Box<v1::Send>, reply: SendReply },
    Request { body: Box<Ask>, reply: oneshot::Sender<Result<Told, RequestError>> },
    Signal(v1::Signal),
    Open { stream: StreamId, conversation: String, from: Since, buffer: Arc<Buffer> },
    Close { reply: oneshot::Sender<()> },
}
