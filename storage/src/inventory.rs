//! What a store holds: for whoever checks it or moves it elsewhere. The trait is the contract.

use std::sync::Arc;

use futures::future::BoxFuture;
use idgen::DeviceId;

use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::SenderSlot;
use crate::member::{Cursors, MemberRow};
use crate::presence::UserName;

/// Most rows of one page, whatever is asked.
pub const MAX_ROWS: usize = 1_000;

/// Where a page ended. It means something only to the store that made it, and to the question that it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker(Arc<[u8]>);

impl Marker {
    pub fn new(bytes: &[u8]) -> Marker {
        Marker(bytes.into())
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A part of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Rows that do not parse, in words.
    pub broken: Vec<String>,
    /// Where the next page begins; `None` at the end. There may be a next page behind no rows.
    pub next: Option<Marker>,
}

/// A conversation that somebody has appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub key: ConversationKey,
    pub tip: u64,
    /// When the tip was committed, milliseconds since 1970.
    pub tip_at_ms: i64,
}

/// What a conversation has of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub user: String,
    /// Also of one who has left; `None` for one who never was a member and has cursors all the same.
    pub member: Option<MemberRow>,
    pub cursors: Cursors,
}

type Asked<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// What a store holds, in pages.
///
/// # Contract
/// 1. Whoever asks from the start (`None`) and on with each page's `next` gets every row that was there at the first
///    page and stays, in no particular order but once. Rows that are written meanwhile may come or not.
/// 2. A page has at most `limit` rows and at most [`MAX_ROWS`], and costs no more memory than its rows do.
/// 3. A row that does not parse is named in `broken` and ends nothing.
/// 4. Asking takes nothing over and changes nothing: owners of logs go on appending.
pub trait Inventory: Send + Sync + 'static {
    /// Conversations of a tenant, or of all.
    fn all_conversations<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<Held>>;

    /// Users of a tenant, or of all, who have logged in at some time.
    fn all_users<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(UserName, UserInfo)>>;

    /// Devices of a tenant, or of all.
    fn all_devices<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(DeviceKey, DeviceId)>>;

    /// Everybody who is or was a member of a conversation, or has cursors in it.
    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<Seat>>;

    /// The slots of every device that has sent into a conversation, with the device.
    fn senders<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(u64, SenderSlot)>>;

    /// Those of the users, active members of the conversation, in whose lists it does not stand where its latest entry
    /// puts it: `listed` would not tell them of it.
    fn unlisted<'a>(&'a self, key: &'a ConversationKey, users: &'a [String]) -> Asked<'a, Vec<String>>;

    /// What contradicts itself, in words, in rows of the conversation that no other question shows, from the entry `from`
    /// on and some before it. What is being written just now is none of it.
    fn contradictions<'a>(&'a self, key: &'a ConversationKey, from: u64) -> Asked<'a, Vec<String>>;
}

/// Of a store that keeps none, such as one that only tests have: every question is an error.
pub struct NoInventory;

impl Inventory for NoInventory {
    fn all_conversations<'a>(
        &'a self,
        _: Option<&'a str>,
        _: Option<Marker>,
        _: usize,
    ) -> Asked<'a, Page<Held>> {
        none()
    }

    fn all_users<'a>(
        &'a self,
        _: Option<&'a str>,
        _: Option<Marker>,
        _: usize,
    ) -> Asked<'a, Page<(UserName, UserInfo)>> {
        none()
    }

    fn all_devices<'a>(
        &'a self,
        _: Option<&'a str>,
        _: Option<Marker>,
        _: usize,
    ) -> Asked<'a, Page<(DeviceKey, DeviceId)>> {
        none()
    }

    fn seats<'a>(&'a self, _: &'a ConversationKey, _: Option<Marker>, _: usize) -> Asked<'a, Page<Seat>> {
        none()
    }

    fn senders<'a>(
        &'a self,
        _: &'a ConversationKey,
        _: Option<Marker>,
        _: usize,
    ) -> Asked<'a, Page<(u64, SenderSlot)>> {
        none()
    }

    fn unlisted<'a>(&'a self, _: &'a ConversationKey, _: &'a [String]) -> Asked<'a, Vec<String>> {
        none()
    }

    fn contradictions<'a>(&'a self, _: &'a ConversationKey, _: u64) -> Asked<'a, Vec<String>> {
        none()
    }
}

fn none<'a, T: Send + 'a>() -> Asked<'a, T> {
    Box::pin(async { Err(StoreError::Unavailable("this store keeps no inventory".into())) })
}
