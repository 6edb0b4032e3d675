//! What all handles of a fake share.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::BEGINNING;
use super::faults::{Fate, Faults};
use super::journal::{Happened, Journal, Step};
use super::partition::{Conditional, Partition};
use super::plain::{Plain, place};
use crate::cql::tables::{Bucket, Cas, CasError, LogName, Write};
use crate::directory::DeviceKey;
use crate::error::StoreError;

/// The most operations that pass before something late arrives.
const LATEST: u32 = 120;
/// The most that may be on its way; what is more is lost.
const MAX_LATE: usize = 4_096;

/// Something on its way.
enum Late {
    Conditional(Bucket, Conditional),
    Plain(Vec<Write>),
}

pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) faults: Faults,
    pub(super) is_down: bool,
    pub(super) log: HashMap<Bucket, Partition>,
    pub(super) plain: Plain,
    pub(super) devices: HashMap<DeviceKey, u64>,
    pub(super) ids: HashMap<u64, DeviceKey>,
    /// With how many operations pass before.
    late: Vec<(u32, Late)>,
    /// Microseconds since 1970.
    pub(super) now: u64,
    pub(super) journal: Journal,
    pub(super) operations: u64,
    pub(super) conditional: u64,
}

impl World {
    pub(super) fn new(seed: u64, now: u64) -> World {
        World {
            rng: StdRng::seed_from_u64(seed),
            faults: Faults::default(),
            is_down: false,
            log: HashMap::new(),
            plain: Plain::default(),
            devices: HashMap::new(),
            ids: HashMap::new(),
            late: Vec::new(),
            now,
            journal: Journal::default(),
            operations: 0,
            conditional: 0,
        }
    }

    pub(super) fn chance(&mut self, permille: u32) -> bool {
        permille > 0 && self.rng.random_range(0..1_000) < permille
    }

    pub(super) fn delay(&mut self) -> Duration {
        if self.faults.delay.is_zero() {
            return Duration::ZERO;
        }
        let longest = u64::try_from(self.faults.delay.as_micros()).unwrap_or(u64::MAX);
        let delay = Duration::from_micros(self.rng.random_range(0..=longest));
        if self.chance(self.faults.stalls) { delay * 10 } else { delay }
    }

    /// One operation begins: something late may arrive before it.
    pub(super) fn begin(&mut self) {
        self.operations += 1;
        let mut due = Vec::new();
        for (left, _) in &mut self.late {
            *left = left.saturating_sub(1);
        }
        while let Some(at) = self.late.iter().position(|(left, _)| *left == 0) {
            due.push(self.late.remove(at).1);
        }
        due.into_iter().for_each(|late| self.arrive(late));
    }

    /// Everything that is on its way arrives now.
    pub(super) fn arrive_all(&mut self) {
        for (_, late) in std::mem::take(&mut self.late) {
            self.arrive(late);
        }
    }

    fn arrive(&mut self, late: Late) {
        match late {
            Late::Conditional(bucket, write) => _ = self.perform(&bucket, write),
            Late::Plain(writes) => writes.into_iter().for_each(|write| self.apply(write)),
        }
    }

    fn later(&mut self, late: Late) {
        let operations = self.rng.random_range(1..=LATEST);
        if self.late.len() < MAX_LATE {
            self.late.push((operations, late));
        }
    }

    pub(super) fn note(&mut self, log: LogName, tip: u64, what: Happened) {
        let at = Duration::from_micros(self.now - BEGINNING);
        self.journal.note(Step { at, log, tip, what });
    }

    /// A serial look at a partition.
    pub(super) fn settled(&mut self, bucket: &Bucket) -> &mut Partition {
        let (completes, now) = (self.rng.random(), self.now);
        self.change(bucket, |partition| partition.settle(completes, now));
        self.log.entry(bucket.clone()).or_default()
    }

    fn perform(&mut self, bucket: &Bucket, write: Conditional) -> Cas {
        let now = self.now;
        self.settled(bucket);
        self.change(bucket, |partition| partition.perform(write, now))
    }

    fn change<R>(&mut self, bucket: &Bucket, change: impl FnOnce(&mut Partition) -> R) -> R {
        let partition = self.log.entry(bucket.clone()).or_default();
        let before = partition.tip();
        let changed = change(partition);
        let tip = partition.tip();
        if tip > before {
            self.note(bucket.log.clone(), tip, Happened::Decided);
        }
        changed
    }

    /// What a conditional write does when it arrives, and what is answered.
    pub(super) fn conditional(&mut self, bucket: &Bucket, write: Conditional) -> Result<Cas, CasError> {
        self.begin();
        self.conditional += 1;
        let number = self.rng.random_range(0..1_000);
        let fate = if self.is_down { Fate::Refused } else { self.faults.fate(number) };
        match fate {
            Fate::Normal => Ok(self.perform(bucket, write)),
            Fate::Refused => Err(CasError::NotSent(out_of_reach())),
            Fate::Disguised => {
                self.perform(bucket, write);
                Ok(Cas::NotApplied)
            }
            Fate::Lost => Err(no_answer()),
            Fate::Unanswered => {
                self.perform(bucket, write);
                Err(no_answer())
            }
            Fate::Pending => {
                self.settled(bucket).accept(write);
                Err(no_answer())
            }
            Fate::Late => {
                self.later(Late::Conditional(bucket.clone(), write));
                Err(no_answer())
            }
        }
    }

    /// Writes of one partition: all of them now, or an error and perhaps later.
    pub(super) fn write_together(&mut self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.begin();
        if self.is_down {
            return Err(out_of_reach());
        }
        if !self.chance(self.faults.write_fails) {
            writes.into_iter().for_each(|write| self.apply(write));
            return Ok(());
        }
        match self.rng.random_range(0..3) {
            0 => writes.into_iter().for_each(|write| self.apply(write)),
            1 => self.later(Late::Plain(writes)),
            _ => {}
        }
        Err(StoreError::Unavailable("a write was not answered".into()))
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Trim { bucket, .. } => self.log.entry(bucket).or_default().trim(),
            Write::Committed { commit, at } => {
                let (bucket, now) = (commit.bucket.clone(), self.now);
                self.change(&bucket, |partition| partition.put(*commit, at, now));
            }
            Write::Fenced { bucket, epoch, at } => self.log.entry(bucket).or_default().put_epoch(epoch, at),
            write => self.plain.apply(write),
        }
    }

    /// Before a read; an error stands for one that fails.
    pub(super) fn begin_read(&mut self) -> Result<(), StoreError> {
        self.begin();
        if self.is_down || self.chance(self.faults.read_fails) { Err(out_of_reach()) } else { Ok(()) }
    }
}

/// The writes by partition.
pub(super) fn by_place(writes: Vec<Write>) -> Vec<Vec<Write>> {
    let mut groups = BTreeMap::<_, Vec<Write>>::new();
    for write in writes {
        groups.entry(place(&write)).or_default().push(write);
    }
    groups.into_values().collect()
}

/// Of a write that says where readers see a conversation end.
pub(super) fn end_of(write: &Write) -> Option<(LogName, u64)> {
    match write {
        Write::Conversation { key, end, .. } => Some((LogName::Conversation(key.clone()), end.tip)),
        _ => None,
    }
}

pub(super) fn out_of_reach() -> StoreError {
    StoreError::Unavailable("out of reach".into())
}

pub(super) fn no_answer() -> CasError {
    CasError::Unknown("no answer in time".into())
}
