//! An append as it is committed, and as it is found again.

use super::rows::{Changes, Meta, decode, encode};
use super::tables::{End, EntryRow, Silence};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, EntryKind};
use crate::member::MAX_LISTED_MEMBERS;
use crate::rows::Row;

/// Everything of a committed batch but its payloads. What follows from the batch follows from this.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) key: ConversationKey,
    pub(super) end: End,
    /// By seq.
    pub(super) metas: Vec<(u64, Meta)>,
    pub(super) changes: Changes,
}

impl Batch {
    /// What an append is behind a log's end, and its rows.
    pub(super) fn of(append: &Append, before: &End, version: u64) -> (Batch, Vec<EntryRow>) {
        let (mut silent, mut shown) = (before.silent, before.shown);
        let (mut metas, mut rows) = (Vec::new(), Vec::new());
        for (seq, entry) in (append.expected_tip + 1..).zip(&append.entries) {
            let mut silence = None;
            if entry.kind == EntryKind::Shown {
                shown = seq;
            } else {
                silent += 1;
                silence = Some(Silence { count: silent, shown });
            }
            let meta = Meta { sender: entry.sender.clone(), slot: entry.slot, kind: entry.kind, silence };
            let batch = rows.is_empty().then_some(append.batch);
            rows.push(EntryRow { seq, payload: entry.payload.clone(), meta: encode(&meta), batch });
            metas.push((seq, meta));
        }
        let changes = Changes { members: append.members.clone(), info: append.info.clone() };
        let end = End {
            tip: append.expected_tip + append.entries.len() as u64,
            batch: append.batch,
            base: append.expected_tip,
            at_ms: append.at_ms,
            version,
            silent,
            shown,
            wide: before.wide || append.active.len() > MAX_LISTED_MEMBERS,
            changes: encode(&changes),
        };
        (Batch { key: append.key.clone(), end, metas, changes }, rows)
    }

    /// The last batch of a log, from its end and its entries. Those that have outlived their time bring nothing about
    /// any more.
    pub(super) fn stored(key: &ConversationKey, end: &End, rows: &[EntryRow]) -> Result<Batch, StoreError> {
        let meta = |row: &EntryRow| {
            let meta = decode(&row.meta, || format!("what is beside the entry {} of {key}", row.seq))?;
            Ok((row.seq, meta))
        };
        let changes = match Changes::decode(&end.changes) {
            Some(changes) => changes,
            None => return Err(StoreError::Corrupt(format!("the changes of {key} do not decode"))),
        };
        let metas = rows.iter().map(meta).collect::<Result<_, StoreError>>()?;
        Ok(Batch { key: key.clone(), end: end.clone(), metas, changes })
    }
}
