//! Opening a conversation under a ledger, and appending to it.

use std::sync::Arc;

use super::book::Book;
use super::record::Record;
use super::round::Entered;
use crate::cql::tables::{LogName, Tables};
use crate::cql::tail::Tail;
use crate::cql::{CqlStore, Found};
use crate::error::StoreError;
use crate::key::ConversationKey;
use crate::log::{Append, AppendOutcome, Opened};

/// How often a record is tried again because its tenure was over.
const TENURES: usize = 16;

impl<T: Tables> CqlStore<T> {
    /// The epoch rises by a record; then what the last batch brings about is written again, as without a ledger.
    pub(in crate::cql) async fn open_in_ledger(&self, key: &ConversationKey) -> Found<Opened> {
        let (book, log) = (self.book(key)?, LogName::Conversation(key.clone()));
        let _turn = self.ledgers.turns.take(key).await;
        for _ in 0..TENURES {
            let tenure = self.hold(&book).await?;
            self.recall(&log);
            let mut tail = self.locate(&log).await?;
            tail.epoch += 1;
            let record = Record::Fence { bucket: tail.bucket.clone(), epoch: tail.epoch };
            let committed = match self.enter(&book, tenure, &record).await? {
                Entered::Committed(committed) => committed,
                // The next takeover of the ledger settles what became of it.
                Entered::Over | Entered::Unknown(_) => continue,
            };
            self.write(vec![record.write(committed.at)]).await?;
            committed.written();
            let (info, members) = self.settle(key, &mut tail).await?;
            let (epoch, tip, last_batch) = (tail.epoch, tail.end.tip, tail.end.batch);
            tail.tenure = tenure;
            self.remember(tail);
            return Ok(Opened { epoch, tip, last_batch, info, members });
        }
        Err(fought_over(&book))
    }

    /// An error says that nothing was committed.
    pub(in crate::cql) async fn append_in_ledger(&self, append: Append) -> Found<AppendOutcome> {
        let (book, log) = (self.book(&append.key)?, LogName::Conversation(append.key.clone()));
        self.check_size(&log, append.entries.len())?;
        let _turn = self.ledgers.turns.take(&append.key).await;
        for trial in 0..TENURES {
            let tenure = self.hold(&book).await?;
            let is_known = |tail: &Tail| tail.tenure == tenure && tail.is(append.epoch, append.expected_tip);
            let tail = match self.recall(&log).filter(is_known) {
                Some(tail) => tail,
                None => self.locate(&log).await?,
            };
            if !tail.is(append.epoch, append.expected_tip) {
                if trial > 0 {
                    self.counters.stale();
                }
                return Ok(AppendOutcome::Conflict { tip: tail.end.tip, epoch: tail.epoch });
            }
            let (batch, commit) = self.planned(&append, &tail);
            let record = Record::Batch(Box::new(commit));
            let committed = match self.enter(&book, tenure, &record).await? {
                Entered::Committed(committed) => committed,
                Entered::Over => continue,
                Entered::Unknown(error) => return Ok(AppendOutcome::Unknown(error)),
            };
            let first = vec![record.write(committed.at)];
            return Ok(match self.follow(batch, tail, &append.active, first).await {
                Ok(tail) => {
                    committed.written();
                    self.remember(Tail { tenure, ..tail });
                    AppendOutcome::Applied
                }
                Err(error) => AppendOutcome::Unknown(error),
            });
        }
        Err(fought_over(&book))
    }

    fn book(&self, key: &ConversationKey) -> Found<Arc<Book>> {
        let book = self.ledgers.of(key).cloned();
        book.ok_or_else(|| StoreError::Corrupt("the store has no ledgers".into()))
    }
}

fn fought_over(book: &Book) -> StoreError {
    StoreError::Unavailable(format!("others take {} over again and again", book.log))
}
