//! The directory's contract. Writes look before they queue: at a login most of them change nothing.

use futures::FutureExt;
use futures::future::BoxFuture;
use idgen::{DeviceId, WorkerNumber};

use super::EmbeddedStore;
use super::request::Request;
use super::view::View;
use crate::directory::{DeviceKey, Directory, Listed, Listing, Membership, UserInfo};
use crate::error::StoreError;
use crate::inventory::Inventory;
use crate::key::ConversationKey;
use crate::member::{Cursors, MemberRow};
use crate::presence::PresenceEvents;

impl Directory for EmbeddedStore {
    fn device<'a>(
        &'a self,
        key: &'a DeviceKey,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>> {
        async move {
            let named = key.clone();
            let stored = self.reads.run(move |view| view.device(&named)).await?;
            let (None, Some(candidate)) = (stored, candidate) else { return Ok(stored) };
            let key = key.clone();
            self.ask(|reply| Request::Device { key, candidate, info: None, reply }).await.map(Some)
        }
        .boxed()
    }

    fn log_in<'a>(
        &'a self,
        key: &'a DeviceKey,
        info: UserInfo,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Result<Option<DeviceId>, StoreError>> {
        async move {
            let key = key.clone();
            if let Some(candidate) = candidate {
                let info = Some(info);
                return self.ask(|reply| Request::Device { key, candidate, info, reply }).await.map(Some);
            }
            let (tenant, user) = (key.tenant.clone(), key.user.clone());
            let read = move |view: &View| Ok((view.device(&key)?, view.user(&key.tenant, &key.user)?));
            let (device, stored) = self.reads.run(read).await?;
            if device.is_some() && stored.as_ref() != Some(&info) {
                self.ask(|reply| Request::User { tenant, user, info, reply }).await?;
            }
            Ok(device)
        }
        .boxed()
    }

    fn last_device(&self, worker: WorkerNumber) -> BoxFuture<'_, Result<Option<DeviceId>, StoreError>> {
        self.reads.run(move |view| view.last_device(worker)).boxed()
    }

    fn put_user<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        info: UserInfo,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let (tenant, user) = (tenant.to_owned(), user.to_owned());
            let named = (tenant.clone(), user.clone());
            let stored = self.reads.run(move |view| view.user(&named.0, &named.1)).await?;
            if stored.as_ref() == Some(&info) {
                return Ok(());
            }
            self.ask(|reply| Request::User { tenant, user, info, reply }).await
        }
        .boxed()
    }

    fn users<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Option<UserInfo>>, StoreError>> {
        let (tenant, users) = (tenant.to_owned(), users.to_vec());
        self.reads.run(move |view| users.iter().map(|user| view.user(&tenant, user)).collect()).boxed()
    }

    fn memberships<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Membership>, StoreError>> {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        self.reads.run(move |view| view.memberships(&tenant, &user)).boxed()
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        listing: Listing,
        limit: usize,
    ) -> BoxFuture<'a, Result<Listed, StoreError>> {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        self.reads.run(move |view| view.listed(&tenant, &user, listing, limit)).boxed()
    }

    fn member<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
    ) -> BoxFuture<'a, Result<Option<Membership>, StoreError>> {
        let (key, user) = (key.clone(), user.to_owned());
        self.reads.run(move |view| view.membership(&key, &user)).boxed()
    }

    fn members<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<MemberRow>, StoreError>> {
        let (key, after) = (key.clone(), after.to_owned());
        let lasting = |row: &Result<MemberRow, _>| row.as_ref().map_or(true, MemberRow::is_active);
        let read = move |view: &View| view.members_after(&key, &after)?.filter(lasting).take(limit).collect();
        self.reads.run(read).boxed()
    }

    fn cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        users: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<Cursors>, StoreError>> {
        let (key, users) = (key.clone(), users.to_vec());
        self.reads.run(move |view| users.iter().map(|user| view.cursors(&key, user)).collect()).boxed()
    }

    fn raise_cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
        to: Cursors,
    ) -> BoxFuture<'a, Result<Cursors, StoreError>> {
        let (key, user) = (key.clone(), user.to_owned());
        self.ask(move |reply| Request::Raise { key, user, to, reply }).boxed()
    }

    fn inventory(&self) -> &dyn Inventory {
        self
    }

    fn presence(&self) -> Option<&dyn PresenceEvents> {
        Some(self)
    }
}
