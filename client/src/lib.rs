//! Whimbrel's Rust SDK: durable, ordered conversations over TCP, TLS, QUIC or WebSocket.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use futures::StreamExt;
//! use whimbrel_client::{Client, Since};
//!
//! let client = Client::builder("tcp://127.0.0.1:7400").token("eyJ...").connect().await?;
//! let bob = client.direct("bob");
//! let ack = bob.send("hello").await?;
//! println!("stored as {}", ack.seq);
//! let mut messages = bob.messages(Since::Start);
//! while let Some(message) = messages.next().await {
//!     // Entries without a text tell of the members; the first one creates the conversation.
//!     if let Some(text) = message.text() {
//!         println!("{} {}: {text}", message.seq, message.sender);
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! The connection keeps itself up: sends are retried in order until they are acknowledged or refused, streams
//! continue behind the last seq they delivered.
//!
//! | file | noun |
//! |---|---|
//! | [`builder`] | configuration, the first connection |
//! | [`client`], [`conversation`] | the handles |
//! | [`sending`], [`stream`] | a message on its way; messages as they come |
//! | [`event`], [`message`], [`member`], [`error`] | what an application is told |
//! | `session` | pure: the device's side of the protocol; frames and time in, actions out |
//! | `outgoing`, `requests` | pure: sends and requests that are unanswered, in order |
//! | `inbox`, `inboxes` | pure: gaps, repeats and pulls of streams |
//! | `pulse`, `patience` | pure: heartbeats and acks; how long an answer may take |
//! | `reconnect`, `places` | pure: when to connect again, and where |
//! | `driver` | the task that performs what the session decides |
//! | `command` | what handles ask of the task |
//! | `handshake`, `token` | Hello and Welcome; where tokens come from |
//! | `connect` | addresses, trust, dialing |
//! | `wire`, `pipe`, `arrivals` | frames over a connection; one shape for every transport; bytes that have arrived |

mod arrivals;
pub mod builder;
pub mod client;
mod command;
mod connect;
pub mod conversation;
mod driver;
pub mod error;
pub mod event;
mod handshake;
mod inbox;
#[doc(hidden)]
pub mod inboxes;
pub mod member;
pub mod message;
mod outgoing;
mod patience;
mod pipe;
mod places;
mod pulse;
#[doc(hidden)]
pub mod reconnect;
#[doc(hidden)]
pub mod requests;
pub mod sending;
#[doc(hidden)]
pub mod session;
pub mod stream;
mod token;
mod wire;

pub use builder::{Builder, DeviceType};
pub use bytes::Bytes;
pub use client::{Client, ConversationPage};
pub use conversation::{Conversation, History};
pub use error::{ConnectError, RequestError, SendError};
pub use event::{Event, Events};
pub use inbox::{STREAM_BYTES, STREAM_MESSAGES, Since};
pub use member::Invite;
pub use message::{Ack, Change, Content, Message, MessageId, SendOptions};
pub use protocol::v1;
pub use reconnect::Lost;
pub use sending::Sending;
pub use stream::MessageStream;
