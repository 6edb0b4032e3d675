//! Standings, tips of presence streams and of ledgers, signs of life.

use futures::{StreamExt, TryStreamExt, stream};
use xxhash_rust::xxh3::xxh3_64;

use super::conversation::rows;
use super::device::LOOKS_AT_ONCE;
use super::error::corrupt;
use super::request::Bound;
use super::value::{Value, count};
use super::{Driver, Found};
use crate::presence::{PresenceState, Standing, UserName};

/// Partitions of one tenant's standings. Part of the format: every process looks in the same one.
const SHARDS: u64 = 16;

type StandingColumns = (Option<i16>, Option<i64>, Option<i64>);
type NamedColumns = (String, String, Option<i16>, Option<i64>, Option<i64>);

/// The partition of a user's standing.
pub(super) fn shard(user: &str) -> i16 {
    // Less than 16.
    (xxh3_64(user.as_bytes()) % SHARDS) as i16
}

impl Driver {
    pub(super) async fn read_presence_tip(&self, tenant: &str) -> Found<u64> {
        let read = Bound::new(&self.statements.presence_tip, [Value::Text(tenant)]);
        let row: Option<(Option<i64>,)> = self.requests.row(read).await?;
        count(row.and_then(|(tip,)| tip))
    }

    pub(super) async fn read_ledger_tip(&self, ledger: u16) -> Found<u64> {
        let read = Bound::new(&self.statements.ledger, [Value::Int(i32::from(ledger))]);
        let row: Option<(Option<i64>,)> = self.requests.row(read).await?;
        count(row.and_then(|(tip,)| tip))
    }

    pub(super) async fn read_standings(
        &self,
        tenant: &str,
        users: &[String],
    ) -> Found<Vec<Option<Standing>>> {
        let looks: Vec<_> =
            users.iter().map(|user| self.read_standing(tenant.to_owned(), user.clone())).collect();
        stream::iter(looks).buffered(LOOKS_AT_ONCE).try_collect().await
    }

    async fn read_standing(&self, tenant: String, user: String) -> Found<Option<Standing>> {
        let values = [Value::Text(&tenant), Value::Small(shard(&user)), Value::Text(&user)];
        let row: Option<StandingColumns> =
            self.requests.row(Bound::new(&self.statements.standing, values)).await?;
        row.map(standing).transpose()
    }

    /// In the order of the partitions' tokens, and in a partition by user.
    pub(super) async fn read_all_standings(
        &self,
        after: Option<&UserName>,
        limit: usize,
    ) -> Found<Vec<(UserName, Standing)>> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let Some((tenant, user)) = after else {
            let read = Bound::new(&self.statements.standings_from_first, [rows(limit)]);
            return self.named(read, limit).await;
        };
        let place = [Value::Text(tenant), Value::Small(shard(user))];
        let values = [&place[..], &[Value::Text(user), rows(limit)]].concat();
        let mut found = self.named(Bound::new(&self.statements.standings_of_shard, values), limit).await?;
        let left = limit - found.len();
        if left > 0 {
            let values = [&place[..], &[rows(left)]].concat();
            found.extend(self.named(Bound::new(&self.statements.standings_behind, values), left).await?);
        }
        Ok(found)
    }

    async fn named(&self, read: Bound<'_>, limit: usize) -> Found<Vec<(UserName, Standing)>> {
        let found: Vec<NamedColumns> = self.requests.rows(read, limit).await?;
        let named = |(tenant, user, state, since_ms, seq): NamedColumns| {
            Ok(((tenant, user), standing((state, since_ms, seq))?))
        };
        found.into_iter().map(named).collect()
    }

    pub(super) async fn read_beat(&self, node: u64) -> Found<Option<i64>> {
        let row: Option<(Option<i64>,)> =
            self.requests.row(Bound::new(&self.statements.beat, [Value::id(node)])).await?;
        Ok(row.and_then(|(at_ms,)| at_ms))
    }
}

fn standing((state, since_ms, seq): StandingColumns) -> Found<Standing> {
    let state = match state {
        Some(1) => PresenceState::Offline,
        Some(2) => PresenceState::Away,
        Some(3) => PresenceState::Online,
        other => return Err(corrupt(format!("{other:?} where a presence state should be"))),
    };
    Ok(Standing { state, since_ms: since_ms.unwrap_or_default(), seq: count(seq)? })
}
