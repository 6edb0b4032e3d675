//! The backend on Scylla or Cassandra: logs by conditional writes, everything else by plain ones that follow from them.
//!
//! | file | noun |
//! |---|---|
//! | [`tables`] | the operations that a cluster performs: the trait is the contract |
//! | [`driver`] | them on a real cluster |
//! | [`fake`] | the same in memory, with a cluster's delays, losses and late writes |
//! | `config`, `bucket`, `rows` | settings and format; which partition holds what; encodings |
//! | `tail` | where a log ends, as far as this process knows |
//! | `takeover` | finding a log's end, fencing whoever held it, and redoing what its last batch brings about |
//! | `append`, `batch` | one conditional write; what it writes |
//! | `ledger` | one conditional write for many conversations |
//! | `effects`, `lists` | what follows from a committed batch; what of it stands in lists of conversations |
//! | `read`, `listing` | entries and their fates; a user's conversations in parts |
//! | `directory`, `membership`, `devices` | members, users and cursors; one of them as a whole; devices |
//! | `presence` | the presence stream, a log like any other |
//! | `inventory` | all there is, in pages |
//! | `stats` | what the store has done |
//! | [`check`] | whether what is stored of a conversation agrees with itself |
//!
//! # What is promised, and by what
//!
//! - *One winner.* A batch is one conditional write on one partition: its condition names epoch and tip. Which partition
//!   is a function of the tip, so of two appends at one tip at most one is applied, whoever made them.
//! - *Definite answers.* A condition that was false may hide an own success; the batch's id tells. An outcome that nobody
//!   knows is `Unknown` until `open` has fenced the log: see `takeover`.
//! - *No hole, and nothing past the tip.* `conversations.tip` is written when all that it vouches for can be read. Reads
//!   stop there, and look for every seq.
//! - *Effects.* Every plain write is a function of a committed batch, at a timestamp that rises with the log. `Applied` is
//!   answered behind them. The owner that dies between leaves them to the next `open`, before anything else is appended.
//! - *Ledgers.* Where there are some, several batches are one conditional write, and a log of its own follows from it by plain
//!   ones: see `ledger`.
//!
//! # What it costs
//!
//! An append is one conditional write and one round of plain writes: the conversation's partition, one row of a sender.
//! It is one round more if it has entries that are not shown, and two if it is the first in a period of a minute: then
//! two small rows for each member, at most 64. An open is two serial reads around one conditional write, the last batch,
//! the members, and two rounds of plain writes. A list costs a read for each conversation that it looks at: those of
//! the periods that it covers, and every wide one.

mod append;
mod batch;
mod bucket;
pub mod check;
mod config;
mod devices;
mod directory;
pub mod driver;
mod effects;
pub mod fake;
mod inventory;
mod ledger;
mod listing;
mod lists;
mod membership;
mod presence;
mod read;
mod rows;
mod stats;
pub mod tables;
mod tail;
mod takeover;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

pub use config::{CqlConfig, Format};
pub use ledger::MAX_LEDGERS;
pub use stats::Stats;

use crate::error::StoreError;
use crate::recent::Recent;
use ledger::Ledgers;
use stats::Counters;
use tables::{LogName, Tables};
use tail::Tail;

type Found<T> = Result<T, StoreError>;

/// Reads of one answer that run at once.
const READS_AT_ONCE: usize = 32;
/// The longest that a row may be told to live: 20 years.
const MAX_TTL_SECONDS: u64 = 630_720_000;

/// A store on tables. Any number of processes may have one on the same tables.
pub struct CqlStore<T> {
    tables: Arc<T>,
    config: CqlConfig,
    tails: Mutex<Recent<LogName, Tail>>,
    ledgers: Ledgers,
    id: OnceLock<u64>,
    counters: Counters,
}

impl<T: Tables> CqlStore<T> {
    pub fn new(tables: Arc<T>, config: CqlConfig) -> Self {
        let tails = Mutex::new(Recent::new(config.remembered_logs));
        let ledgers = Ledgers::new(tables.ledgers());
        Self { tables, config, tails, ledgers, id: OnceLock::new(), counters: Counters::default() }
    }

    /// The operations that it stands on.
    pub fn tables(&self) -> &T {
        &self.tables
    }

    /// What it has done since it was opened.
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    async fn store_id(&self) -> Found<u64> {
        if let Some(id) = self.id.get() {
            return Ok(*id);
        }
        let id = self.tables.store_id().await?;
        Ok(*self.id.get_or_init(|| id))
    }

    fn overlap_us(&self) -> u64 {
        u64::try_from(self.config.overlap.as_micros()).unwrap_or(u64::MAX)
    }

    /// For entry rows.
    fn ttl(&self) -> Option<u32> {
        let seconds = self.config.retention?.as_secs().clamp(1, MAX_TTL_SECONDS);
        u32::try_from(seconds).ok()
    }
}
