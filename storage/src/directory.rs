//! Devices, users, memberships and cursors. The trait is the contract.

use futures::future::BoxFuture;
use idgen::{DeviceId, WorkerNumber};
use protocol::v1::{ConversationInfo, Role};

use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::member::{Cursors, MemberRow};

/// What makes a device the same device at its next login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceKey {
    pub tenant: String,
    pub user: String,
    pub device_type: u8,
    pub installation: String,
}

/// What is known of a user beside the id: taken from the latest token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    pub name: String,
    pub role: Role,
}

/// One conversation of one user.
#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    pub conversation: String,
    pub info: ConversationInfo,
    pub member: MemberRow,
    pub cursors: Cursors,
    pub tip: u64,
    /// When the tip was committed, milliseconds since 1970; the order of a conversation list.
    pub tip_at_ms: i64,
}

/// What lasts beside the logs.
///
/// # Contract
/// 1. `device` stores `candidate` for a key that has no id yet and returns what is stored: the same key gets the
///    same id for ever, and an id it returned is on stable storage. A candidate that some other key already has
///    is an error, never shared.
/// 2. Cursors are max-registers: `raise_cursors` never lowers a field, in whatever order calls arrive.
/// 3. `memberships` and `member` see every append that was answered `Applied` before they were called.
pub trait Directory: Send + Sync + 'static {
    /// The id of a device, storing `candidate` if it has none. `None` only looks.
    fn device<'a>(
        &'a self,
        key: &'a DeviceKey,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>>;

    /// The highest id stored for a worker number: the generator continues above it.
    fn last_device(&self, worker: WorkerNumber) -> BoxFuture<'_, Result<Option<DeviceId>, StoreError>>;

    /// Stores what is known of a user; a write that changes nothing costs nothing.
    fn put_user<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        info: UserInfo,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// What is known of users, in the order asked; `None` for one who never logged in.
    fn users<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<UserInfo>>, StoreError>>;

    /// Every conversation the user is or was a member of, most recently active first.
    fn memberships<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Membership>, StoreError>>;

    /// One user's place in one conversation.
    fn member<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Option<Membership>, StoreError>>;

    /// The users whose membership of the conversation lasts, ascending by user id (byte order), those after `after`
    /// (empty: from the first), at most `limit`. Contract 3 holds for it too.
    fn members<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<MemberRow>, StoreError>>;

    /// Cursors of several users of a conversation, in the order asked; zeros where there are none.
    fn cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Cursors>, StoreError>>;

    /// Raises cursors and returns them as they are now. The caller has checked them against the tip.
    fn raise_cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
        to: Cursors,
    ) -> BoxFuture<'a, Result<Cursors, StoreError>>;
}
