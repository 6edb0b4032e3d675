//! Devices, users, memberships and cursors. The trait is the contract.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use idgen::{DeviceId, WorkerNumber};
use protocol::v1::{ConversationInfo, Role};

use crate::error::StoreError;
use crate::inventory::{Inventory, NoInventory};
use crate::key::ConversationKey;
use crate::member::{Cursors, MemberRow};
use crate::presence::PresenceEvents;

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
    /// The last entry up to the user's tip that is [`EntryKind::Shown`](crate::log::EntryKind); 0 for none.
    pub shown: u64,
    /// How many of the entries that [`Cursors::unread`] counts are not shown.
    pub silent: u64,
}

impl Membership {
    /// The entries that the user may see and has not seen: those after the read cursor, the user's own latest
    /// message and the entry of joining, without those that are not shown.
    pub fn unread(&self) -> u64 {
        let cursors = self.member.cursors_since_joining(self.cursors);
        cursors.unread(self.member.visible_tip(self.tip)).saturating_sub(self.silent)
    }
}

/// A place in the history of the store: versions rise with every commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub version: u64,
    /// Within a version, conversations stand in byte order.
    pub conversation: String,
}

/// Which of a user's conversations are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// All, that with the latest entry first; `before` continues behind a place.
    Latest { before: Option<Place> },
    /// Those that have changed after a place, in the order of their changes.
    Changed { after: Place },
}

/// A part of a user's conversations.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub rows: Vec<(Place, Membership)>,
    /// Where the next part begins; `None` at the end. There may be a next part behind no rows.
    pub next: Option<Place>,
    /// The version of the store that was read: no commit up to it is missing in what was read.
    pub version: u64,
    /// Which store the versions are of; another store's mean nothing here.
    pub store: u64,
}

/// What lasts beside the logs.
///
/// # Contract
/// 1. `device` stores `candidate` for a key that has no id yet and returns what is stored: the same key gets the
///    same id for ever, and an id it returned is on stable storage. A candidate that some other key already has
///    is an error, never shared.
/// 2. Cursors are max-registers: `raise_cursors` never lowers a field, in whatever order calls arrive.
/// 3. `memberships`, `member` and `listed` see every append that was answered `Applied` before they were called.
/// 4. A conversation has changed for a user by every append while the user is a member, the one of leaving included,
///    and whenever the user's read cursor rises. Whoever reads `Listing::Changed` from a version to the end, in one
///    part or several, is told every conversation that has changed after it, and may be told others. What it costs
///    is bounded by what has changed and by the number of the user's *large* conversations, never by the number of
///    all; what an append pays for it is bounded by the size below which a conversation is not large.
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

    /// What a login needs, in as few steps as the store can take: the device's id and what is known of its user, stored
    /// together with the first id if not before. `None` for a device without an id: the caller comes again with a
    /// candidate.
    fn log_in<'a>(
        &'a self,
        key: &'a DeviceKey,
        info: UserInfo,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>> {
        async move {
            if candidate.is_none() {
                let known = self.device(key, None).await?;
                if known.is_some() {
                    self.put_user(&key.tenant, &key.user, info).await?;
                }
                return Ok(known);
            }
            self.put_user(&key.tenant, &key.user, info).await?;
            self.device(key, candidate).await
        }
        .boxed()
    }

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

    /// At most `limit` of a user's conversations; see [`Listing`]. A version that the store has not reached is taken
    /// for 0.
    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        listing: Listing,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listed, StoreError>>;

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

    /// What the store holds, logs included; one that keeps no inventory answers with errors.
    fn inventory(&self) -> &dyn Inventory {
        &NoInventory
    }

    /// The presence stream; `None` for a backend that keeps none.
    fn presence(&self) -> Option<&dyn PresenceEvents> {
        None
    }
}
