//! Taking a ledger over, and committing what waits for it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::oneshot::Sender;

use super::book::{Answer, Ask, Asked, Book, Committed, Lead, ROUND_RECORDS};
use super::record::Record;
use crate::cql::append::Settled;
use crate::cql::rows::{decode, encode};
use crate::cql::tables::{Bucket, Commit, End, EntryRow, LogName, Tables, Write};
use crate::cql::tail::Tail;
use crate::cql::{CqlStore, Found, READS_AT_ONCE};
use crate::error::StoreError;
use crate::log::ReadRange;

/// Records that a takeover reads at once, and their bytes.
const RECORDS_AT_ONCE: usize = 512;
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// Buckets that stay behind the one in which a ledger ends.
const BUCKETS_KEPT: u32 = 2;

/// What became of a record.
pub(super) enum Entered {
    Committed(Committed),
    /// Not committed: the log has to be looked at again.
    Over,
    Unknown(StoreError),
}

impl<T: Tables> CqlStore<T> {
    /// The tenure in which this process holds the ledger, which begins now if it does not.
    pub(super) async fn hold(&self, book: &Arc<Book>) -> Found<u64> {
        if let Some(tenure) = book.tenure() {
            return Ok(tenure);
        }
        match self.ask(book, Ask::Hold).await? {
            Answer::Held(tenure) => Ok(tenure),
            Answer::Refused(error) | Answer::Unknown(error) => Err(error),
            Answer::Committed(_) | Answer::Over | Answer::Lead(..) => Err(unheard(book)),
        }
    }

    /// Commits a record with the next round. An error says that it is not committed.
    pub(super) async fn enter(&self, book: &Arc<Book>, tenure: u64, record: &Record) -> Found<Entered> {
        match self.ask(book, Ask::Commit { tenure, record: encode(record) }).await? {
            Answer::Committed(committed) => Ok(Entered::Committed(committed)),
            Answer::Over => Ok(Entered::Over),
            Answer::Refused(error) => Err(error),
            Answer::Unknown(error) => Ok(Entered::Unknown(error)),
            Answer::Held(_) | Answer::Lead(..) => Ok(Entered::Unknown(unheard(book))),
        }
    }

    /// Waits for a round, or makes one.
    async fn ask(&self, book: &Arc<Book>, what: Ask) -> Found<Answer> {
        let (mut answer, mut lead) = book.ask(what)?;
        loop {
            if let Some(mut lead) = lead.take() {
                self.make_round(&mut lead).await;
            }
            match answer.await {
                Ok(Answer::Lead(receiver, next)) => (lead, answer) = (Some(next), receiver),
                Ok(answer) => return Ok(answer),
                // Whoever made the round went away in the middle of it.
                Err(_) => return Ok(Answer::Unknown(unheard(book))),
            }
        }
    }

    /// Answers everybody who waits, or as many as a round takes.
    async fn make_round(&self, lead: &mut Lead) {
        let book = lead.book.clone();
        // A round stands whole in one bucket, and reaches at most into the next.
        let asked = book.next_round(self.config.format.seqs(&book.log));
        if asked.is_empty() {
            return;
        }
        let tenure = match self.take_over(&book).await {
            Ok(tenure) => tenure,
            Err(error) => {
                return asked.into_iter().for_each(|asked| asked.tell(Answer::Refused(error.clone())));
            }
        };
        let (mut records, mut answers) = (Vec::new(), Vec::new());
        for Asked { what, answer } in asked {
            match what {
                Ask::Hold => drop(answer.send(Answer::Held(tenure))),
                Ask::Commit { tenure: of, record } if of == tenure => {
                    records.push(record);
                    answers.push(answer);
                }
                Ask::Commit { .. } => drop(answer.send(Answer::Over)),
            }
        }
        if !records.is_empty() {
            self.commit_records(lead, tenure, records, answers).await;
        }
    }

    /// One conditional write.
    async fn commit_records(
        &self,
        lead: &mut Lead,
        tenure: u64,
        records: Vec<Bytes>,
        answers: Vec<Sender<Answer>>,
    ) {
        let book = lead.book.clone();
        let Some((tail, written)) = book.end(tenure) else {
            return tell_all(answers, || Answer::Over);
        };
        lead.under_way = Some(tenure);
        self.counters.round();
        let settled = self.try_records(&tail, written, records).await;
        match settled {
            Ok((Settled::Applied, next)) => {
                for (answer, committed) in answers.into_iter().zip(book.committed(tenure, next)) {
                    // One that nobody takes ends the tenure: what follows from it is not written.
                    drop(answer.send(Answer::Committed(committed)));
                }
                lead.under_way = None;
                if tail.expected.tip.is_none() {
                    self.turn_page(&tail, written).await;
                }
            }
            Ok((Settled::Lost { .. }, _)) => {
                book.end_tenure(tenure);
                tell_all(answers, || Answer::Over);
            }
            Ok((Settled::Unknown(error), _)) => {
                book.end_tenure(tenure);
                tell_all(answers, || Answer::Unknown(error.clone()));
            }
            Err(error) => tell_all(answers, || Answer::Refused(error.clone())),
        }
        lead.under_way = None;
    }

    /// What became of the round, and where the ledger ends if it was applied. An error says that nothing was proposed.
    async fn try_records(&self, tail: &Tail, written: u64, records: Vec<Bytes>) -> Found<(Settled, Tail)> {
        let base = tail.end.tip;
        // Unique: an epoch has one writer, and its clock rises.
        let batch = (u128::from(tail.epoch) << 64 | u128::from(self.tables.now())).to_be_bytes();
        let row = |(at, payload): (usize, Bytes)| EntryRow {
            seq: base + 1 + at as u64,
            payload,
            meta: Bytes::new(),
            batch: (at == 0).then_some(batch),
        };
        let entries: Vec<EntryRow> = records.into_iter().enumerate().map(row).collect();
        let tip = base + entries.len() as u64;
        let end = End { tip, batch, base, changes: encode(&written), ..End::default() };
        let next = self.config.format.bucket(&tail.bucket.log, tip)?;
        let commit = Commit {
            bucket: tail.bucket.clone(),
            expected: tail.expected,
            epoch: tail.epoch,
            end: end.clone(),
            entries,
            ttl: None,
        };
        let settled = self.commit(commit).await?;
        Ok((settled, tail.clone().followed_by(end, 0, next)))
    }

    /// Takes the ledger over unless this process holds it, and writes what is committed and not known to be written.
    async fn take_over(&self, book: &Book) -> Found<u64> {
        if let Some(tenure) = book.tenure() {
            return Ok(tenure);
        }
        let tail = self.take(&book.log).await?;
        self.write_records(&tail).await?;
        self.counters.ledger();
        Ok(book.begin_tenure(tail))
    }

    /// Writes the logs' rows of the records that are not known to be written. Of one conversation that is the last at most:
    /// nobody commits one before those before it are written. Readers see nothing of it before somebody opens the
    /// conversation, who tells its members.
    async fn write_records(&self, tail: &Tail) -> Found<()> {
        let (log, tip) = (&tail.bucket.log, tail.end.tip);
        let written = if tip == 0 { 0 } else { decode(&tail.end.changes, || format!("the end of {log}"))? };
        let (mut first, mut latest) = (written + 1, HashMap::new());
        while first <= tip {
            let range = ReadRange {
                first,
                last: tip,
                backwards: false,
                max_entries: RECORDS_AT_ONCE,
                max_bytes: BYTES_AT_ONCE,
            };
            for row in self.rows_of(log, range).await? {
                let record: Record = decode(&row.payload, || format!("record {} of {log}", row.seq))?;
                latest.insert(record.log().clone(), (row.seq, record));
                first = row.seq + 1;
            }
        }
        let mut latest: Vec<(u64, Record)> = latest.into_values().collect();
        latest.sort_unstable_by_key(|(at, _)| *at);
        let writes: Vec<_> = latest.into_iter().map(|(at, record)| self.write_record(at, record)).collect();
        stream::iter(writes).buffer_unordered(READS_AT_ONCE).try_collect().await
    }

    async fn write_record(&self, at: u64, mut record: Record) -> Found<()> {
        if let Record::Batch(commit) = &mut record {
            commit.ttl = self.ttl();
        }
        self.write(vec![record.write(at)]).await
    }

    /// Behind the first round of a bucket: says how far the ledger has come, and removes what is old and written.
    async fn turn_page(&self, tail: &Tail, written: u64) {
        let Bucket { log, number } = &tail.bucket;
        let LogName::Ledger(ledger) = *log else { return };
        let mut writes = vec![Write::LedgerTip { ledger, tip: tail.end.tip }];
        if let Some(old) = number.checked_sub(BUCKETS_KEPT + 1) {
            // Its last round may reach into the next bucket.
            let last = u64::from(old + 1) * self.config.format.seqs(log) + ROUND_RECORDS as u64;
            if last <= written {
                let bucket = Bucket { log: log.clone(), number: old };
                writes.push(Write::Trim { bucket, at: self.tables.now() });
            }
        }
        if let Err(error) = self.write(writes).await {
            tracing::debug!(%log, number, %error, "old records stay");
        }
    }
}

impl Asked {
    fn tell(self, answer: Answer) {
        drop(self.answer.send(answer));
    }
}

fn tell_all(answers: Vec<Sender<Answer>>, answer: impl Fn() -> Answer) {
    answers.into_iter().for_each(|sender| drop(sender.send(answer())));
}

fn unheard(book: &Book) -> StoreError {
    StoreError::Unavailable(format!("nobody says what became of a round of {}", book.log))
}
