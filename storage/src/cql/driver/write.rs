//! Plain writes: each with a timestamp of its own, those of one partition in one request.

use std::collections::HashMap;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::log::partition;
use super::presence::shard;
use super::request::{Bound, Requests};
use super::statement::Statements;
use super::value::Value;
use super::{Driver, Found};
use crate::cql::tables::{Bucket, ConversationEnd, ListRow, Write};
use crate::key::ConversationKey;
use crate::presence::Standing;

/// Statements of one request: a batch is one mutation, which has a limit of some megabytes.
const STATEMENTS_AT_ONCE: usize = 100;
/// Requests of one call under way at once.
const REQUESTS_AT_ONCE: usize = 64;

/// Whose rows a write touches. The tables of a conversation have one partition key, so they take one mutation.
#[derive(PartialEq, Eq, Hash)]
enum Place {
    Conversation(ConversationKey),
    List(String, String),
    Log(Bucket),
    /// Of this write alone.
    Own(usize),
}

impl Driver {
    /// Those of one partition together; with those of others if many wait.
    pub(super) async fn do_writes(&self, writes: Vec<Write>) -> Found<()> {
        let parts = parts(writes).into_iter().map(|part| self.write_part(part));
        stream::iter(parts.collect::<Vec<_>>()).buffer_unordered(REQUESTS_AT_ONCE).try_collect().await
    }

    async fn write_part(&self, part: Vec<Write>) -> Found<()> {
        match &self.gatherer {
            Some(gatherer) if part.len() <= STATEMENTS_AT_ONCE => gatherer.write(part).await,
            _ => write_all(&self.requests, &self.statements, &part).await,
        }
    }
}

/// In one request, or some if there are many.
pub(super) async fn write_all(requests: &Requests, statements: &Statements, writes: &[Write]) -> Found<()> {
    let mut bound: Vec<Bound<'_>> = writes.iter().flat_map(|write| statements.bind(write)).collect();
    let mut batches = Vec::new();
    while bound.len() > STATEMENTS_AT_ONCE {
        batches.push(bound.split_off(bound.len() - STATEMENTS_AT_ONCE));
    }
    batches.push(bound);
    let profiles = &statements.profiles;
    let batches: Vec<_> = batches.into_iter().map(|batch| requests.write(profiles, batch)).collect();
    stream::iter(batches).buffer_unordered(REQUESTS_AT_ONCE).try_collect().await
}

/// The writes by partition.
fn parts(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let mut places: HashMap<Place, Vec<Write>> = HashMap::new();
    for (number, write) in writes.into_iter().enumerate() {
        places.entry(place(number, &write)).or_default().push(write);
    }
    places.into_values().collect()
}

impl Statements {
    /// A write's statements: one for most.
    pub(super) fn bind<'a>(&'a self, write: &'a Write) -> Vec<Bound<'a>> {
        use Value as V;
        let all = self;
        // The timestamp is the first value of every statement but one.
        let (statement, set, rest): (_, Vec<V<'_>>, Vec<V<'_>>) = match write {
            Write::Conversation { key, end, info } => return self.bind_conversation(key, end, info.as_ref()),
            Write::Committed { commit, at } => return self.bind_committed(commit, *at),
            Write::Fenced { bucket, epoch, at } => {
                (&all.put_epoch, vec![V::count(*at), V::count(*epoch)], partition(bucket).to_vec())
            }
            Write::LedgerTip { ledger, tip } => {
                (&all.put_ledger, register(*tip), vec![V::Int(i32::from(*ledger))])
            }
            Write::Member { key, user, row, seq } => {
                (&all.put_member, vec![V::count(*seq), V::Blob(row)], seat(key, user))
            }
            Write::Sent { key, user, seq } => (&all.put_sent, register(*seq), seat(key, user)),
            Write::Delivered { key, user, seq } => (&all.put_delivered, register(*seq), seat(key, user)),
            Write::Read { key, user, seq, moved } => {
                (&all.put_read, [register(*seq), vec![V::count(*moved)]].concat(), seat(key, user))
            }
            Write::Slot { key, device, slot, client_msg_id, seq } => {
                let set = vec![V::count(*seq), V::Blob(client_msg_id), V::count(*seq)];
                (&all.put_slot, set, names(key, [V::id(*device), V::Small(i16::from(*slot))]))
            }
            Write::Silence { key, seq, silence } => {
                let set = vec![V::count(*seq), V::count(silence.count), V::count(silence.shown)];
                (&all.put_silence, set, names(key, [V::count(*seq)]))
            }
            Write::Edited { key, seq, by } => (&all.put_edited, register(*by), names(key, [V::count(*seq)])),
            Write::Recalled { key, seq } => {
                (&all.put_recalled, vec![V::count(*seq)], names(key, [V::count(*seq)]))
            }
            Write::List { tenant, user, row, at } => {
                (&all.list, list_row(tenant, user, row), vec![V::count(*at)])
            }
            Write::Unlist { tenant, user, row, at } => {
                (&all.unlist, vec![V::count(*at)], list_row(tenant, user, row))
            }
            Write::User { tenant, user, info, at } => {
                let set = vec![V::count(*at), V::Text(&info.name), V::Int(info.role as i32)];
                (&all.put_user, set, vec![V::Text(tenant), V::Text(user)])
            }
            Write::LastDevice { worker, stamp, id } => {
                (&all.put_last_device, vec![V::count(*stamp), V::id(*id)], vec![V::Int(i32::from(*worker))])
            }
            Write::PresenceTip { tenant, tip } => {
                (&all.put_presence_tip, register(*tip), vec![V::Text(tenant)])
            }
            Write::Standing { user: (tenant, user), standing: Standing { state, since_ms, seq } } => {
                let set = vec![V::count(*seq), V::Small(*state as i16), V::Big(*since_ms), V::count(*seq)];
                (&all.put_standing, set, vec![V::Text(tenant), V::Small(shard(user)), V::Text(user)])
            }
            Write::Trim { bucket, at } => (&all.trim, vec![V::count(*at)], partition(bucket).to_vec()),
            Write::Beat { node, at_ms } => {
                (&all.put_beat, vec![V::Big(*at_ms), V::Big(*at_ms)], vec![V::id(*node)])
            }
        };
        vec![Bound::new(statement, [set, rest].concat())]
    }

    fn bind_conversation<'a>(
        &'a self,
        key: &'a ConversationKey,
        end: &ConversationEnd,
        info: Option<&'a Bytes>,
    ) -> Vec<Bound<'a>> {
        use Value as V;
        let set = vec![
            V::count(end.tip),
            V::count(end.tip),
            V::Big(end.at_ms),
            V::count(end.version),
            V::count(end.changed),
            V::count(end.silent),
            V::count(end.shown),
            V::Bool(end.wide),
        ];
        let end_of = Bound::new(&self.put_conversation, [set, names(key, [])].concat());
        let info = info.map(|info| {
            let set = vec![V::count(end.tip), V::Blob(info)];
            Bound::new(&self.put_info, [set, names(key, [])].concat())
        });
        [Some(end_of), info].into_iter().flatten().collect()
    }
}

fn place(number: usize, write: &Write) -> Place {
    match write {
        Write::Conversation { key, .. }
        | Write::Member { key, .. }
        | Write::Sent { key, .. }
        | Write::Read { key, .. }
        | Write::Delivered { key, .. }
        | Write::Slot { key, .. }
        | Write::Silence { key, .. }
        | Write::Edited { key, .. }
        | Write::Recalled { key, .. } => Place::Conversation(key.clone()),
        Write::List { tenant, user, .. } | Write::Unlist { tenant, user, .. } => {
            Place::List(tenant.clone(), user.clone())
        }
        Write::Committed { commit, .. } => Place::Log(commit.bucket.clone()),
        Write::Fenced { bucket, .. } => Place::Log(bucket.clone()),
        _ => Place::Own(number),
    }
}

/// A timestamp and the same value.
fn register<'a>(value: u64) -> Vec<Value<'a>> {
    vec![Value::count(value), Value::count(value)]
}

/// The key columns of a conversation's tables.
fn names<'a, const N: usize>(key: &'a ConversationKey, rest: [Value<'a>; N]) -> Vec<Value<'a>> {
    [Value::Text(&key.tenant), Value::Text(&key.conversation)].into_iter().chain(rest).collect()
}

fn seat<'a>(key: &'a ConversationKey, user: &'a str) -> Vec<Value<'a>> {
    names(key, [Value::Text(user)])
}

fn list_row<'a>(tenant: &'a str, user: &'a str, row: &'a ListRow) -> Vec<Value<'a>> {
    let kind = Value::Small(row.kind as i16);
    vec![
        Value::Text(tenant),
        Value::Text(user),
        kind,
        Value::count(row.period),
        Value::Text(&row.conversation),
    ]
}
