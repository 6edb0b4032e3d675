//! The directory's contract.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use idgen::{DeviceId, WorkerNumber};

use super::membership::cursors;
use super::tables::{ListKind, ListRow, Seat, Tables, Write};
use super::takeover::seated;
use super::{CqlStore, Found, READS_AT_ONCE};
use crate::directory::{DeviceKey, Directory, Listed, Listing, Membership, UserInfo};
use crate::inventory::Inventory;
use crate::key::ConversationKey;
use crate::member::{Cursors, MemberRow};
use crate::presence::PresenceEvents;

impl<T: Tables> Directory for CqlStore<T> {
    fn device<'a>(
        &'a self,
        key: &'a DeviceKey,
        candidate: Option<DeviceId>,
    ) -> BoxFuture<'a, Found<Option<DeviceId>>> {
        self.device_of(key, candidate).boxed()
    }

    fn last_device(&self, worker: WorkerNumber) -> BoxFuture<'_, Found<Option<DeviceId>>> {
        self.last_device_of(worker).boxed()
    }

    fn put_user<'a>(&'a self, tenant: &'a str, user: &'a str, info: UserInfo) -> BoxFuture<'a, Found<()>> {
        async move {
            let stored = self.tables.users(tenant, &[user.to_owned()]).await?;
            if stored.first() == Some(&Some(info.clone())) {
                return Ok(());
            }
            let (tenant, user, at) = (tenant.to_owned(), user.to_owned(), self.tables.now());
            self.write(vec![Write::User { tenant, user, info, at }]).await
        }
        .boxed()
    }

    fn users<'a>(
        &'a self,
        tenant: &'a str,
        users: &'a [String],
    ) -> BoxFuture<'a, Found<Vec<Option<UserInfo>>>> {
        self.tables.users(tenant, users)
    }

    fn memberships<'a>(&'a self, tenant: &'a str, user: &'a str) -> BoxFuture<'a, Found<Vec<Membership>>> {
        self.all_of(tenant, user).boxed()
    }

    fn listed<'a>(
        &'a self,
        tenant: &'a str,
        user: &'a str,
        listing: Listing,
        limit: usize,
    ) -> BoxFuture<'a, Found<Listed>> {
        self.list(tenant, user, listing, limit).boxed()
    }

    fn member<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
    ) -> BoxFuture<'a, Found<Option<Membership>>> {
        async move { Ok(self.placed(key, user).await?.map(|placed| placed.membership)) }.boxed()
    }

    fn members<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Found<Vec<MemberRow>>> {
        self.lasting_members(key, after, limit).boxed()
    }

    fn cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        users: &'a [String],
    ) -> BoxFuture<'a, Found<Vec<Cursors>>> {
        let read = move |user: &'a String| async move {
            Ok(self.tables.seat(key, user).await?.map_or_else(Cursors::default, |seat| cursors(&seat)))
        };
        stream::iter(users).map(read).buffered(READS_AT_ONCE).try_collect().boxed()
    }

    fn raise_cursors<'a>(
        &'a self,
        key: &'a ConversationKey,
        user: &'a str,
        to: Cursors,
    ) -> BoxFuture<'a, Found<Cursors>> {
        self.raise(key, user, to).boxed()
    }

    fn inventory(&self) -> &dyn Inventory {
        self
    }

    fn presence(&self) -> Option<&dyn PresenceEvents> {
        Some(self)
    }
}

impl<T: Tables> CqlStore<T> {
    async fn lasting_members(
        &self,
        key: &ConversationKey,
        after: &str,
        limit: usize,
    ) -> Found<Vec<MemberRow>> {
        let (mut members, mut after) = (Vec::new(), after.to_owned());
        while members.len() < limit {
            let wanted = (limit - members.len()).min(super::takeover::SEATS_AT_ONCE);
            let seats = self.tables.seats(key, &after, wanted).await?;
            let is_last = seats.len() < wanted;
            for (user, seat) in seats {
                let seated = seated(key, &user, &seat)?.filter(|seated| seated.member.is_active());
                members.extend(seated.map(|seated| seated.member));
                after = user;
            }
            if is_last {
                break;
            }
        }
        Ok(members)
    }

    async fn raise(&self, key: &ConversationKey, user: &str, to: Cursors) -> Found<Cursors> {
        let seat = self.tables.seat(key, user).await?.unwrap_or_default();
        let stored = cursors(&seat);
        let mut writes = Vec::new();
        let mut left = None;
        let named = || (key.clone(), user.to_owned());
        if to.read > stored.read {
            // Above everything that this reader may have been told of.
            let moved = self.tables.now().max(seat.moved + 1).max(seat.end.changed + 1);
            if let Some((list, unlist)) = self.moved(key, user, &seat, moved) {
                // Before the cursor rises, so that whoever sees it risen finds it in the list.
                self.write(vec![list]).await?;
                left = unlist;
            }
            let (key, user) = named();
            writes.push(Write::Read { key, user, seq: to.read, moved });
        }
        if to.delivered > stored.delivered {
            let (key, user) = named();
            writes.push(Write::Delivered { key, user, seq: to.delivered });
        }
        if to.sent > stored.sent {
            let (key, user) = named();
            writes.push(Write::Sent { key, user, seq: to.sent });
        }
        self.write(writes).await?;
        if let Err(error) = self.write(left.into_iter().collect()).await {
            tracing::debug!(%key, user, %error, "an old list row stays");
        }
        Ok(stored.max(to))
    }

    /// What a risen read cursor changes in the user's list: nothing if it rose in this period before, for then it
    /// stands there.
    fn moved(
        &self,
        key: &ConversationKey,
        user: &str,
        seat: &Seat,
        moved: u64,
    ) -> Option<(Write, Option<Write>)> {
        let format = &self.config.format;
        if seat.row.is_none() || (seat.moved > 0 && format.period(seat.moved) == format.period(moved)) {
            return None;
        }
        let named = |at| {
            let (kind, period, conversation) =
                (ListKind::Moved, format.period(at), key.conversation.to_string());
            (key.tenant.to_string(), user.to_owned(), ListRow { kind, period, conversation })
        };
        let (tenant, user, row) = named(moved);
        let list = Write::List { tenant, user, row, at: moved };
        let (tenant, user, row) = named(seat.moved);
        let unlist = (seat.moved > 0).then_some(Write::Unlist { tenant, user, row, at: seat.moved });
        Some((list, unlist))
    }
}
