//! What an operator may set, and what the stored data depend on.

use std::time::Duration;

/// How the store works on its tables.
#[derive(Clone, Debug)]
pub struct CqlConfig {
    /// By how much clocks may differ and a write may be late: a list of changes says that it knows all up to so long
    /// ago, so the next one tells of the latest changes once more. An append that takes longer than half of it is told
    /// of again. Zero turns both off, for tests with one clock and no delay.
    pub overlap: Duration,
    /// How long entries are kept; `None`: for good. In whole seconds, counted from the append.
    pub retention: Option<Duration>,
    /// Logs whose ends are remembered between appends. One that is forgotten costs its next append two reads. About
    /// 250 bytes each.
    pub remembered_logs: usize,
    pub format: Format,
}

impl Default for CqlConfig {
    fn default() -> Self {
        Self {
            overlap: Duration::from_secs(60),
            retention: None,
            remembered_logs: 128 * 1024,
            format: Format::default(),
        }
    }
}

/// Where rows are looked for. The same for every process that uses a store and for as long as it lives; only tests
/// have others than the default, on tables of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Seqs of one bucket of a conversation, and the most entries of one append.
    pub bucket_seqs: u64,
    /// Seqs of one bucket of a presence stream, and the most events of one batch: they are small.
    pub bucket_events: u64,
    /// Records of one bucket of a ledger, and the most of one round.
    pub bucket_records: u64,
    /// Microseconds of one period of lists. An append writes into the lists of the members once in a period.
    pub period_us: u64,
}

impl Default for Format {
    fn default() -> Self {
        Self { bucket_seqs: 4_096, bucket_events: 16_384, bucket_records: 1_024, period_us: 60_000_000 }
    }
}
