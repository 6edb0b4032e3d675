//! What lasts: one log per conversation, and the directory of devices, users, members and cursors.
//!
//! | file | noun |
//! |---|---|
//! | [`key`] | a conversation's full name: tenant and id |
//! | [`log`] | the append log: the trait is the contract |
//! | [`directory`] | devices, users, memberships, cursors: the trait is the contract |
//! | [`member`] | a member's row and what it entitles to |
//! | [`roster`] | the members as the entries of a log make them |
//! | [`presence`] | who came and went, durable and in order: the trait is the contract |
//! | [`inventory`] | what a store holds, in pages: the trait is the contract |
//! | [`check`] | whether what a store holds keeps its promises |
//! | [`copy`] | a tenant, from one store to another |
//! | [`error`] | why the store refuses |
//! | [`contract`] | the suite that every backend passes |
//! | [`embedded`] | the backend for one machine |
//! | [`cql`] | the backend on Scylla or Cassandra |
//! | `rows`, `recent` | what the backends share: encodings, a bounded map |

pub mod check;
pub mod contract;
pub mod copy;
pub mod cql;
pub mod directory;
pub mod embedded;
pub mod error;
pub mod inventory;
pub mod key;
pub mod log;
pub mod member;
pub mod presence;
mod recent;
pub mod roster;
mod rows;

pub use directory::Directory;
pub use embedded::{EmbeddedConfig, EmbeddedStore, OpenError};
pub use error::StoreError;
pub use inventory::Inventory;
pub use key::ConversationKey;
pub use log::Log;
pub use presence::PresenceEvents;

/// A store is a log and a directory over the same data.
pub trait Store: Log + Directory {}

impl<S: Log + Directory> Store for S {}
