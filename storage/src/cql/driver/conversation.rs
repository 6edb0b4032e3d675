//! Reads of what stands beside a conversation's log, and of lists of conversations.

use bytes::Bytes;

use super::request::Bound;
use super::value::{Value, count, id16, small};
use super::{Driver, Found};
use crate::cql::tables::{ConversationEnd, FateRow, ListKind, ListRange, ListRow, Seat, Silence, SlotRow};
use crate::key::ConversationKey;

pub(super) type Number = Option<i64>;
/// The static columns, in the statements' order.
pub(super) type EndColumns = (Number, Number, Number, Number, Number, Number, Option<bool>, Option<Bytes>);
/// A user's columns behind the name.
type SeatColumns = (String, Option<Bytes>, Number, Number, Number, Number);
/// Both.
#[derive(scylla::DeserializeRow)]
struct WholeSeat {
    tip: Number,
    at_ms: Number,
    version: Number,
    changed: Number,
    silent: Number,
    shown: Number,
    wide: Option<bool>,
    info: Option<Bytes>,
    user: String,
    member: Option<Bytes>,
    read: Number,
    delivered: Number,
    sent: Number,
    moved: Number,
}

impl Driver {
    pub(super) async fn read_conversation(
        &self,
        key: &ConversationKey,
    ) -> Found<Option<(ConversationEnd, Option<Bytes>)>> {
        let read = Bound::new(&self.statements.conversation, names(key));
        let row: Option<EndColumns> = self.requests.row(read).await?;
        // There may be users' rows before there is an end.
        row.filter(|row| row.0.is_some()).map(end_of).transpose()
    }

    pub(super) async fn read_seat(&self, key: &ConversationKey, user: &str) -> Found<Option<Seat>> {
        let values = [&names(key)[..], &[Value::Text(user)]].concat();
        let row: Option<WholeSeat> = self.requests.row(Bound::new(&self.statements.seat, values)).await?;
        let Some(row) = row else { return Ok(None) };
        let (end, info) = end_of((
            row.tip,
            row.at_ms,
            row.version,
            row.changed,
            row.silent,
            row.shown,
            row.wide,
            row.info,
        ))?;
        let (_, seat) = seat_of((row.user, row.member, row.read, row.delivered, row.sent, row.moved))?;
        Ok(Some(Seat { end, info, ..seat }))
    }

    pub(super) async fn read_seats(
        &self,
        key: &ConversationKey,
        after: &str,
        limit: usize,
    ) -> Found<Vec<(String, Seat)>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let values = [&names(key)[..], &[Value::Text(after), rows(limit)]].concat();
        let found: Vec<SeatColumns> =
            self.requests.rows(Bound::new(&self.statements.seats, values), limit).await?;
        found.into_iter().map(seat_of).collect()
    }

    pub(super) async fn read_slots(&self, key: &ConversationKey, device: u64) -> Found<Vec<SlotRow>> {
        let values = [&names(key)[..], &[Value::id(device)]].concat();
        let read = Bound::new(&self.statements.slots, values);
        let found: Vec<(i16, Option<Bytes>, Number)> = self.requests.rows(read, usize::MAX).await?;
        found.into_iter().map(|(slot, id, seq)| slot_of(slot, id, seq)).collect()
    }

    pub(super) async fn read_silence(
        &self,
        key: &ConversationKey,
        seq: u64,
    ) -> Found<Option<(u64, Silence)>> {
        let values = [&names(key)[..], &[Value::count(seq)]].concat();
        let row: Option<(i64, Number, Number)> =
            self.requests.row(Bound::new(&self.statements.silence, values)).await?;
        let Some((seq, silent, shown)) = row else { return Ok(None) };
        Ok(Some((count(Some(seq))?, Silence { count: count(silent)?, shown: count(shown)? })))
    }

    pub(super) async fn read_fates(
        &self,
        key: &ConversationKey,
        first: u64,
        last: u64,
    ) -> Found<Vec<FateRow>> {
        if first > last {
            return Ok(Vec::new());
        }
        let values = [&names(key)[..], &[Value::count(first), Value::count(last)]].concat();
        let read = Bound::new(&self.statements.fates, values);
        let found: Vec<(i64, Number, Option<bool>)> = self.requests.rows(read, usize::MAX).await?;
        let fate = |(seq, edited, recalled): (i64, Number, Option<bool>)| {
            let (seq, edited) = (count(Some(seq))?, count(edited)?);
            Ok(FateRow { seq, edited, recalled: recalled.unwrap_or_default() })
        };
        found.into_iter().map(fate).collect()
    }

    pub(super) async fn read_list(
        &self,
        tenant: &str,
        user: &str,
        range: &ListRange,
        limit: usize,
    ) -> Found<Vec<ListRow>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let (statement, kind, (period, conversation)) = match range {
            ListRange::Falling { kind, before } => (&self.statements.listed_falling, *kind, before),
            ListRange::Rising { kind, first } => (&self.statements.listed_rising, *kind, first),
        };
        let values = list_range(tenant, user, kind, *period, conversation, limit);
        let found: Vec<(i64, String)> = self.requests.rows(Bound::new(statement, values), limit).await?;
        let row = |(period, conversation)| Ok(ListRow { kind, period: count(Some(period))?, conversation });
        found.into_iter().map(row).collect()
    }
}

fn list_range<'a>(
    tenant: &'a str,
    user: &'a str,
    kind: ListKind,
    period: u64,
    conversation: &'a str,
    limit: usize,
) -> [Value<'a>; 6] {
    let place = [Value::count(period), Value::Text(conversation)];
    let [period, conversation] = place;
    [Value::Text(tenant), Value::Text(user), Value::Small(kind as i16), period, conversation, rows(limit)]
}

/// A limit as CQL takes it.
pub(super) fn rows<'a>(limit: usize) -> Value<'a> {
    Value::Int(i32::try_from(limit).unwrap_or(i32::MAX))
}

pub(super) fn names(key: &ConversationKey) -> [Value<'_>; 2] {
    [Value::Text(&key.tenant), Value::Text(&key.conversation)]
}

pub(super) fn end_of(row: EndColumns) -> Found<(ConversationEnd, Option<Bytes>)> {
    let (tip, at_ms, version, changed, silent, shown, wide, info) = row;
    let end = ConversationEnd {
        tip: count(tip)?,
        at_ms: at_ms.unwrap_or_default(),
        version: count(version)?,
        changed: count(changed)?,
        silent: count(silent)?,
        shown: count(shown)?,
        wide: wide.unwrap_or_default(),
    };
    Ok((end, info))
}

pub(super) fn slot_of(slot: i16, id: Option<Bytes>, seq: Number) -> Found<SlotRow> {
    let client_msg_id = id16(&id.unwrap_or_default())?;
    Ok(SlotRow { slot: small(slot)?, client_msg_id, seq: count(seq)? })
}

fn seat_of((user, row, read, delivered, sent, moved): SeatColumns) -> Found<(String, Seat)> {
    let seat = Seat {
        row,
        read: count(read)?,
        delivered: count(delivered)?,
        sent: count(sent)?,
        moved: count(moved)?,
        ..Seat::default()
    };
    Ok((user, seat))
}
