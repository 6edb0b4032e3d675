//! The inventory's contract, kept by reads from snapshots. A marker is the name of the last row.

use futures::FutureExt;
use futures::future::BoxFuture;
use idgen::DeviceId;

use super::EmbeddedStore;
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::inventory::{Held, Inventory, Marker, Page, Seat};
use crate::key::ConversationKey;
use crate::log::SenderSlot;
use crate::presence::UserName;

type Asked<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

impl Inventory for EmbeddedStore {
    fn all_conversations<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<Held>> {
        let tenant = tenant.map(str::to_owned);
        self.reads.run(move |view| view.all_conversations(tenant.as_deref(), after.as_ref(), limit)).boxed()
    }

    fn all_users<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(UserName, UserInfo)>> {
        let tenant = tenant.map(str::to_owned);
        self.reads.run(move |view| view.all_users(tenant.as_deref(), after.as_ref(), limit)).boxed()
    }

    fn all_devices<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(DeviceKey, DeviceId)>> {
        let tenant = tenant.map(str::to_owned);
        self.reads.run(move |view| view.all_devices(tenant.as_deref(), after.as_ref(), limit)).boxed()
    }

    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<Seat>> {
        let key = key.clone();
        self.reads.run(move |view| view.seats(&key, after.as_ref(), limit)).boxed()
    }

    fn senders<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(u64, SenderSlot)>> {
        let key = key.clone();
        self.reads.run(move |view| view.all_senders(&key, after.as_ref(), limit)).boxed()
    }

    fn unlisted<'a>(&'a self, key: &'a ConversationKey, users: &'a [String]) -> Asked<'a, Vec<String>> {
        let (key, users) = (key.clone(), users.to_vec());
        self.reads.run(move |view| view.unlisted(&key, users)).boxed()
    }

    /// All of a conversation is written at once, and every row of it shows in some answer.
    fn contradictions<'a>(&'a self, _: &'a ConversationKey, _: u64) -> Asked<'a, Vec<String>> {
        futures::future::ready(Ok(Vec::new())).boxed()
    }
}
