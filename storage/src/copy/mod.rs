//! A tenant, copied from one store to another, whatever their backends are.
//!
//! | file | noun |
//! |---|---|
//! | `error` | why a copy is refused or fails |
//! | `people` | users and devices |
//! | `order` | conversations by their latest activity |
//! | `conversation` | one conversation: its log from where the target's ends, its cursors |
//! | `batch` | one append of it |
//! | `verify` | whether the target has all of it |
//!
//! # What is copied
//! Users; devices with their ids; conversations with entries as they are (payload, kind, sender, slot), members, those who
//! have left included, and cursors. What a gateway is told of the copy is what it was told of the original, with these
//! exceptions: versions of lists are the target's own, so that a device asks for its whole list once; and a conversation
//! that somebody has left stands in that user's list by its latest activity, not by when it was left. The presence stream
//! is not copied: it is about connections, and starts afresh. Of an entry that has outlived its time only the seq is left,
//! and only that is copied.
//!
//! # Again
//! A copy that was interrupted is taken up by starting it again: what the target has is held against the source, entry by
//! entry, and what is missing is appended. Where the target has something else, the copy is refused and nothing is
//! overwritten. Conversations go in the order of their latest activity, which is the order of lists.
//!
//! # Owners
//! Every log is opened at both stores, which takes it from a gateway that has it open. One that still runs over the source
//! opens its logs again and goes on; that is noticed at the end ([`CopyError::Moved`]). So stop it, or copy again until
//! nothing moves.

mod batch;
mod conversation;
mod error;
mod order;
mod people;
#[cfg(test)]
mod tests;
mod verify;

pub use error::CopyError;

use crate::Store;
use crate::check::Finding;
use conversation::Stores;

/// What has been copied, or was there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub conversations: u64,
    pub entries: u64,
    pub users: u64,
    pub devices: u64,
    /// Of `entries`: those that this run has appended.
    pub appended: u64,
}

/// What whoever waits for a copy is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// So much is in the target.
    Copied(Copied),
    /// So many entries of the target have been checked.
    Verified(u64),
    /// The target is not as it should be.
    Found(Finding),
}

/// Told after every append and every few hundred entries that are compared.
pub type Tell<'a> = dyn FnMut(News) + Send + 'a;

/// Copies a tenant and verifies the copy. It is whole if there is no error and no finding was told.
pub async fn copy(
    source: &dyn Store,
    target: &dyn Store,
    tenant: &str,
    tell: &mut Tell<'_>,
) -> Result<Copied, CopyError> {
    let stores = Stores { source, target };
    let mut copied = Copied::default();
    people::users(stores, tenant, &mut copied, tell).await?;
    people::devices(stores, tenant, &mut copied, tell).await?;
    let mut window = order::Window::new(tenant);
    while let Some(conversations) = window.next(source).await? {
        for held in conversations {
            conversation::copy(stores, &held, &mut copied, tell).await?;
        }
    }
    verify::verify(stores, tenant, tell).await?;
    Ok(copied)
}
