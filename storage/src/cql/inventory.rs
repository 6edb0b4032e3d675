//! The inventory's contract. Partitions stand by token, so one tenant's are scattered among all: a page looks at so many
//! rows of all tenants and keeps those that are wanted.

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use idgen::DeviceId;

use super::check;
use super::devices::to_device;
use super::membership::cursors;
use super::tables::{ConversationEnd, DevicePlace, ListKind, ListRange, Scanned, SlotRow, Tables};
use super::takeover::seated;
use super::{CqlStore, Found, READS_AT_ONCE};
use crate::directory::{DeviceKey, UserInfo};
use crate::error::StoreError;
use crate::inventory::{Held, Inventory, MAX_ROWS, Marker, Page, Seat};
use crate::key::ConversationKey;
use crate::log::SenderSlot;
use crate::presence::UserName;
use crate::rows::{In, Out, Row};

type Asked<'a, T> = BoxFuture<'a, Found<T>>;

impl<T: Tables> Inventory for CqlStore<T> {
    fn all_conversations<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<Held>> {
        async move {
            let limit = limit.clamp(1, MAX_ROWS);
            let after =
                at::<(String, String)>(after)?.map(|(tenant, name)| ConversationKey::new(tenant, name));
            let rows = self.tables.all_conversations(after.as_ref(), limit).await?;
            let mut page =
                page_of(&rows, limit, |key| (key.tenant.to_string(), key.conversation.to_string()));
            for (key, end) in wanted(rows, tenant, |key| &key.tenant) {
                if let Some(end) = end.transpose() {
                    add(&mut page, end, |end| Held { key, tip: end.tip, tip_at_ms: end.at_ms });
                }
            }
            Ok(page)
        }
        .boxed()
    }

    fn all_users<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(UserName, UserInfo)>> {
        async move {
            let limit = limit.clamp(1, MAX_ROWS);
            let after: Option<UserName> = at(after)?;
            let rows = self.tables.all_users(after.as_ref(), limit).await?;
            let mut page = page_of(&rows, limit, UserName::clone);
            for (name, info) in wanted(rows, tenant, |name| &name.0) {
                add(&mut page, info, |info| (name, info));
            }
            Ok(page)
        }
        .boxed()
    }

    fn all_devices<'a>(
        &'a self,
        tenant: Option<&'a str>,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(DeviceKey, DeviceId)>> {
        async move {
            let limit = limit.clamp(1, MAX_ROWS);
            let after: Option<DevicePlace> = at(after)?;
            let rows = self.tables.all_devices(after.as_ref(), limit).await?;
            let mut page = page_of(&rows, limit, DevicePlace::clone);
            for (place, id) in wanted(rows, tenant, |place| &place.0) {
                add(&mut page, id.and_then(|id| device_at(place, id)), |device| device);
            }
            Ok(page)
        }
        .boxed()
    }

    fn seats<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<Seat>> {
        async move {
            let limit = limit.clamp(1, MAX_ROWS);
            let after: String = at(after)?.unwrap_or_default();
            let rows = self.tables.seats(key, &after, limit).await?;
            let rows: Scanned<String, _> = rows.into_iter().map(|(user, seat)| (user, Ok(seat))).collect();
            let mut page = page_of(&rows, limit, String::clone);
            for (user, seat) in rows {
                let cells = seat?;
                add(&mut page, seated(key, &user, &cells), |member| {
                    let (member, cursors) = (member.map(|seated| seated.member), cursors(&cells));
                    Seat { user: user.clone(), member, cursors }
                });
            }
            Ok(page)
        }
        .boxed()
    }

    fn senders<'a>(
        &'a self,
        key: &'a ConversationKey,
        after: Option<Marker>,
        limit: usize,
    ) -> Asked<'a, Page<(u64, SenderSlot)>> {
        async move {
            let limit = limit.clamp(1, MAX_ROWS);
            let rows = self.tables.all_slots(key, at(after)?, limit).await?;
            let mut page = page_of(&rows, limit, |place| *place);
            for ((device, _), row) in rows {
                add(&mut page, row, |SlotRow { slot, client_msg_id, seq }| {
                    (device, SenderSlot { slot, client_msg_id, seq })
                });
            }
            Ok(page)
        }
        .boxed()
    }

    fn unlisted<'a>(&'a self, key: &'a ConversationKey, users: &'a [String]) -> Asked<'a, Vec<String>> {
        async move {
            let Some((end, _)) = self.tables.conversation(key).await? else { return Ok(users.to_vec()) };
            let looks: Vec<_> = users.iter().map(|user| self.is_listed(key, user, &end)).collect();
            let listed: Vec<bool> = stream::iter(looks).buffered(READS_AT_ONCE).try_collect().await?;
            let missing = users.iter().zip(listed).filter(|(_, listed)| !listed);
            Ok(missing.map(|(user, _)| user.clone()).collect())
        }
        .boxed()
    }

    fn contradictions<'a>(&'a self, key: &'a ConversationKey, from: u64) -> Asked<'a, Vec<String>> {
        async move {
            let expires = self.config.retention.is_some();
            let checked = check::conversation(&*self.tables, &self.config.format, key, from, expires).await?;
            let more = (checked.more > 0).then(|| format!("and {} more", checked.more));
            let shown =
                checked.findings.iter().filter(|finding| finding.is_hidden()).map(ToString::to_string);
            Ok(shown.chain(more).collect())
        }
        .boxed()
    }
}

impl<T: Tables> CqlStore<T> {
    /// Whether an active member's list has the row that `lists` puts there.
    async fn is_listed(&self, key: &ConversationKey, user: &str, end: &ConversationEnd) -> Found<bool> {
        let Some(seat) = self.tables.seat(key, user).await? else { return Ok(false) };
        if !seated(key, user, &seat)?.is_some_and(|seated| seated.member.is_active()) {
            return Ok(false);
        }
        let (kind, period) = if end.wide {
            (ListKind::Wide, 0)
        } else {
            (ListKind::Entry, self.config.format.period(end.version))
        };
        let range = ListRange::Rising { kind, first: (period, key.conversation.to_string()) };
        let rows = self.tables.listed(&key.tenant, user, range, 1).await?;
        Ok(rows.first().is_some_and(|row| row.period == period && *row.conversation == *key.conversation))
    }
}

/// An empty page that goes on behind the last of the rows, if there may be more.
fn page_of<K, V, M: Row, R>(rows: &Scanned<K, V>, limit: usize, place: impl Fn(&K) -> M) -> Page<R> {
    let last = rows.last().filter(|_| rows.len() >= limit);
    let next = last.map(|(key, _)| Marker::new(&place(key).encode()));
    Page { rows: Vec::new(), broken: Vec::new(), next }
}

/// Adds what was read, if it is a row.
fn add<V, R>(page: &mut Page<R>, read: Found<V>, row: impl FnOnce(V) -> R) {
    match read {
        Ok(value) => page.rows.push(row(value)),
        Err(error) => page.broken.push(error.to_string()),
    }
}

fn device_at((tenant, user, stored, installation): DevicePlace, id: u64) -> Found<(DeviceKey, DeviceId)> {
    let wrong =
        |_| StoreError::Corrupt(format!("the device {installation} of {tenant}/{user}: type {stored}"));
    let device_type = u8::try_from(stored).map_err(wrong)?;
    Ok((DeviceKey { tenant, user, device_type, installation }, to_device(id)?))
}

/// Those of one tenant, or all.
fn wanted<K, V>(
    rows: Scanned<K, V>,
    tenant: Option<&str>,
    of: impl Fn(&K) -> &str,
) -> impl Iterator<Item = (K, Found<V>)> {
    rows.into_iter().filter(move |(key, _)| tenant.is_none_or(|tenant| tenant == of(key)))
}

/// The place that a marker names.
fn at<M: Row>(marker: Option<Marker>) -> Found<Option<M>> {
    let foreign = || StoreError::Corrupt("a marker that is not of this store".into());
    marker.map(|marker| M::decode(marker.bytes()).ok_or_else(foreign)).transpose()
}

/// Tenant and name.
impl Row for (String, String) {
    fn encode(&self) -> Vec<u8> {
        Out::new().part(self.0.as_bytes()).bytes(self.1.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        Some((text(&mut row)?, row.text()?))
    }
}

impl Row for DevicePlace {
    fn encode(&self) -> Vec<u8> {
        let out = Out::new().bytes(&self.2.to_be_bytes()).part(self.0.as_bytes());
        out.part(self.1.as_bytes()).bytes(self.3.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let device_type = i16::from_be_bytes(row.array()?);
        Some((text(&mut row)?, text(&mut row)?, device_type, row.text()?))
    }
}

/// A user.
impl Row for String {
    fn encode(&self) -> Vec<u8> {
        Out::new().bytes(self.as_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        In::new(bytes)?.text()
    }
}

/// A text that something follows.
fn text(row: &mut In<'_>) -> Option<String> {
    row.part().and_then(|part| String::from_utf8(part.to_vec()).ok())
}

/// Device and slot.
impl Row for (u64, i16) {
    fn encode(&self) -> Vec<u8> {
        Out::new().u64(self.0).bytes(&self.1.to_be_bytes()).done()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = In::new(bytes)?;
        let place = (row.u64()?, i16::from_be_bytes(row.array()?));
        row.end(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        fn same<M: Row + PartialEq + std::fmt::Debug>(place: M) {
            assert_eq!(at::<M>(Some(Marker::new(&place.encode()))), Ok(Some(place)));
        }
        same(("ten\0ant".to_owned(), String::new()));
        same("ü".to_owned());
        same((u64::MAX, -3i16));
        same(("t".to_owned(), "uu".to_owned(), 900i16, "phone".to_owned()));
        assert!(at::<(u64, i16)>(Some(Marker::new(b"else"))).is_err());
    }
}
