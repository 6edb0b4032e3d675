//! Whole tables, in the order of the partitions' tokens. Two partitions of one token would be taken for one at the end of
//! a page; of a milliard there is such a pair somewhere with a chance of one in forty.

use bytes::Bytes;

use super::conversation::{Number, end_of, names, rows, slot_of};
use super::device::info_of;
use super::error::corrupt;
use super::request::Bound;
use super::value::Value;
use super::{Driver, Found};
use crate::cql::tables::{ConversationEnd, DevicePlace, Scanned, SlotRow};
use crate::directory::UserInfo;
use crate::key::ConversationKey;
use crate::presence::UserName;

#[derive(scylla::DeserializeRow)]
struct ConversationRow {
    tenant: String,
    conversation: String,
    tip: Number,
    at_ms: Number,
    version: Number,
    changed: Number,
    silent: Number,
    shown: Number,
    wide: Option<bool>,
    info: Option<Bytes>,
}

type UserRow = (String, String, Option<String>, Option<i32>);
type DeviceRow = (String, String, i16, String, Option<i64>);
type SlotColumns = (i64, i16, Option<Bytes>, Number);

impl Driver {
    pub(super) async fn scan_conversations(
        &self,
        after: Option<&ConversationKey>,
        limit: usize,
    ) -> Found<Scanned<ConversationKey, Option<ConversationEnd>>> {
        let statements = &self.statements;
        let read = match after {
            None => Bound::new(&statements.all_conversations, [rows(limit)]),
            Some(key) => {
                let values = [&names(key)[..], &[rows(limit)]].concat();
                Bound::new(&statements.all_conversations_behind, values)
            }
        };
        let found: Vec<ConversationRow> = self.requests.rows(read, limit).await?;
        let row = |row: ConversationRow| {
            let key = ConversationKey::new(row.tenant, row.conversation);
            let has_end = row.tip.is_some();
            let end =
                (row.tip, row.at_ms, row.version, row.changed, row.silent, row.shown, row.wide, row.info);
            (key, if has_end { end_of(end).map(|(end, _)| Some(end)) } else { Ok(None) })
        };
        Ok(found.into_iter().map(row).collect())
    }

    pub(super) async fn scan_users(
        &self,
        after: Option<&UserName>,
        limit: usize,
    ) -> Found<Scanned<UserName, UserInfo>> {
        let statements = &self.statements;
        let read = match after {
            None => Bound::new(&statements.all_users, [rows(limit)]),
            Some((tenant, user)) => {
                let values = [Value::Text(tenant), Value::Text(user), rows(limit)];
                Bound::new(&statements.all_users_behind, values)
            }
        };
        let found: Vec<UserRow> = self.requests.rows(read, limit).await?;
        let row = |(tenant, user, name, role): UserRow| {
            let info = info_of(&user, name, role);
            ((tenant, user), info)
        };
        Ok(found.into_iter().map(row).collect())
    }

    pub(super) async fn scan_devices(
        &self,
        after: Option<&DevicePlace>,
        limit: usize,
    ) -> Found<Scanned<DevicePlace, u64>> {
        let statements = &self.statements;
        let read = match after {
            None => Bound::new(&statements.all_devices, [rows(limit)]),
            Some((tenant, user, device_type, installation)) => {
                let place = [Value::Text(tenant), Value::Text(user), Value::Small(*device_type)];
                let values = [&place[..], &[Value::Text(installation), rows(limit)]].concat();
                Bound::new(&statements.all_devices_behind, values)
            }
        };
        let found: Vec<DeviceRow> = self.requests.rows(read, limit).await?;
        let row = |(tenant, user, device_type, installation, id): DeviceRow| {
            let missing = || corrupt(format!("the device {installation} of {tenant}/{user} has no id"));
            let id = id.map(i64::cast_unsigned).ok_or_else(missing);
            ((tenant, user, device_type, installation), id)
        };
        Ok(found.into_iter().map(row).collect())
    }

    pub(super) async fn scan_slots(
        &self,
        key: &ConversationKey,
        after: Option<(u64, i16)>,
        limit: usize,
    ) -> Found<Scanned<(u64, i16), SlotRow>> {
        // Ids are stored bit for bit, so the first in the table's order is the lowest signed number.
        let (device, slot) =
            after.map_or((i64::MIN, i16::MIN), |(device, slot)| (device.cast_signed(), slot));
        let place = [Value::Big(device), Value::Small(slot), rows(limit)];
        let values = [&names(key)[..], &place].concat();
        let read = Bound::new(&self.statements.all_slots, values);
        let found: Vec<SlotColumns> = self.requests.rows(read, limit).await?;
        let row =
            |(device, slot, id, seq): SlotColumns| ((device.cast_unsigned(), slot), slot_of(slot, id, seq));
        Ok(found.into_iter().map(row).collect())
    }
}
