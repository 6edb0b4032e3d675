//! When store operations take effect and when their answers arrive: delays, group commits, unknown outcomes.

use std::collections::BTreeMap;

use storage::StoreError;
use storage::log::AppendOutcome;
use storage::presence::RecordOutcome;
use tokio::sync::oneshot;

use crate::data::Data;
use crate::jobs::{Job, JobBody, Reply};
use crate::mutant::Mutant;
use crate::presence::Record;
use crate::world::{Ev, World};

/// The store beside its data.
pub struct Store {
    pub data: Data,
    /// Jobs on their way, with the gateway that waits.
    jobs: BTreeMap<u64, (usize, Job, Fate)>,
    replies: BTreeMap<u64, (usize, Reply)>,
    next: u64,
    /// Writes commit in their order: none before this time.
    last_commit: u64,
    /// Operations of a dead process still arrive.
    pub remote: bool,
    /// Milliseconds that a commit takes.
    pub commit_ms: (u64, u64),
    pub slow_until: u64,
    pub slow_ms: u64,
    pub failing_until: u64,
    pub failing_permille: u64,
    /// How many appends of a thousand have an outcome that nobody learns.
    pub unknown_permille: u64,
}

/// What becomes of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Normal,
    Fails,
    /// The answer says Unknown: stored, never stored, or stored after the answer.
    UnknownStored,
    UnknownNever,
    UnknownLate,
    /// Answered as stored before it is: only a planted bug does that.
    AckedEarly,
}

impl Store {
    pub fn new(data: Data) -> Store {
        Store {
            data,
            jobs: BTreeMap::new(),
            replies: BTreeMap::new(),
            next: 0,
            last_commit: 0,
            remote: false,
            commit_ms: (2, 10),
            slow_until: 0,
            slow_ms: 0,
            failing_until: 0,
            failing_permille: 0,
            unknown_permille: 0,
        }
    }

    pub fn is_healthy(&self, now: u64) -> bool {
        self.slow_until <= now && self.failing_until <= now
    }
}

impl World {
    /// A gateway asks the store for something.
    pub fn job(&mut self, gateway: usize, job: Job) {
        self.store.next += 1;
        let number = self.store.next;
        let fate = self.fate(gateway, &job);
        let (now, slow) = (self.now, self.store.slow_until > self.now);
        let (low, high) =
            if slow { (self.store.slow_ms / 2, self.store.slow_ms) } else { self.store.commit_ms };
        let write = !matches!(job.body, JobBody::Read(_));
        let mut at = now + if write { self.rng.range(low, high) } else { self.rng.range(0, high / 2 + 1) };
        if write && !self.store.remote {
            at = at.max(self.store.last_commit);
            self.store.last_commit = at;
        }
        if matches!(fate, Fate::UnknownLate | Fate::AckedEarly) {
            // The answer comes when the commit would; the commit comes later.
            self.at(at, Ev::Commit(number));
            at += self.rng.range(1, 4_000);
        }
        self.store.jobs.insert(number, (gateway, job, fate));
        self.at(at, Ev::Commit(number));
    }

    fn fate(&mut self, gateway: usize, job: &Job) -> Fate {
        let failing = self.store.failing_until > self.now;
        let lost = self.mutant == Some(Mutant::DrainLosesAcked) && self.gateways[gateway].draining;
        match &job.body {
            JobBody::Append(..) | JobBody::Record(..) if self.rng.chance(self.store.unknown_permille) => {
                *self.rng.pick(&[Fate::UnknownStored, Fate::UnknownNever, Fate::UnknownLate])
            }
            JobBody::Append(..) if lost => Fate::AckedEarly,
            JobBody::Append(..) if self.mutant == Some(Mutant::AckBeforeCommit) => Fate::AckedEarly,
            _ if failing && self.rng.chance(self.store.failing_permille) => Fate::Fails,
            _ => Fate::Normal,
        }
    }

    /// The time of an operation has come.
    pub fn commit(&mut self, number: u64) {
        let Some((gateway, mut job, fate)) = self.store.jobs.remove(&number) else { return };
        if let Some(answer) = self.early(&mut job, fate) {
            self.store.jobs.insert(number, (gateway, job, Fate::Normal));
            return self.reply_later(gateway, answer);
        }
        let Job { what, body } = job;
        match body {
            JobBody::Append(append, answer) => {
                let outcome = self.append(&what, &append, fate);
                self.reply_later(gateway, Box::new(move || drop(answer.send(outcome))));
            }
            JobBody::Record(record, answer) => {
                let outcome = self.record_presence(&what, &record, fate);
                self.reply_later(gateway, Box::new(move || drop(answer.send(outcome))));
            }
            JobBody::Write(run) | JobBody::Read(run) => {
                let error = (fate == Fate::Fails).then(|| StoreError::Unavailable("out of reach".into()));
                let said = if error.is_some() { " fails" } else { "" };
                self.trace.note(self.now, "store", &format!("{what}{said}"));
                let lag = u64::from(self.mutant == Some(Mutant::StaleReads) && self.rng.chance(300));
                self.store.data.set_lag(lag);
                self.store.data.unsynced = self.unsynced();
                let reply = run(&mut self.store.data, error);
                self.reply_later(gateway, reply);
            }
        }
        self.note_commits();
    }

    /// The answer of an operation that is carried out later.
    fn early(&mut self, job: &mut Job, fate: Fate) -> Option<Reply> {
        if !matches!(fate, Fate::UnknownLate | Fate::AckedEarly) {
            return None;
        }
        let told = if fate == Fate::AckedEarly { AppendOutcome::Applied } else { self.timeout() };
        let said = format!("{}: answered {told:?} before it is stored", job.what);
        let reply: Reply = match &mut job.body {
            JobBody::Append(_, answer) => {
                let answer = std::mem::replace(answer, oneshot::channel().0);
                Box::new(move || drop(answer.send(told)))
            }
            JobBody::Record(_, answer) => {
                let answer = std::mem::replace(answer, oneshot::channel().0);
                Box::new(move || drop(answer.send(RecordOutcome::Unknown(late()))))
            }
            JobBody::Write(_) | JobBody::Read(_) => return None,
        };
        self.trace.note(self.now, "store", &said);
        Some(reply)
    }

    fn append(&mut self, what: &str, append: &storage::log::Append, fate: Fate) -> AppendOutcome {
        let stored = match fate {
            Fate::UnknownNever => AppendOutcome::Conflict { tip: 0, epoch: 0 },
            Fate::Fails => AppendOutcome::Refused(StoreError::Unavailable("out of reach".into())),
            _ => self.store.data.append(append),
        };
        let told = match fate {
            Fate::UnknownStored | Fate::UnknownNever => self.timeout(),
            _ => stored.clone(),
        };
        self.trace.note(self.now, "store", &format!("{what}: {stored:?}, told {told:?}"));
        told
    }

    fn record_presence(&mut self, what: &str, record: &Record, fate: Fate) -> RecordOutcome {
        let stored = match fate {
            Fate::UnknownNever => RecordOutcome::Conflict,
            Fate::Fails => RecordOutcome::Refused(StoreError::Unavailable("out of reach".into())),
            _ => self.store.data.record(record),
        };
        if matches!(stored, RecordOutcome::Applied { .. }) {
            self.said(record);
        }
        let told = match fate {
            Fate::UnknownStored | Fate::UnknownNever => RecordOutcome::Unknown(late()),
            _ => stored.clone(),
        };
        self.trace.note(self.now, "store", &format!("{what}: {stored:?}, told {told:?}"));
        told
    }

    /// What a gateway is told when the store does not answer in time.
    fn timeout(&self) -> AppendOutcome {
        let error = late();
        match self.mutant {
            Some(Mutant::TimeoutIsFailure) => AppendOutcome::Refused(error),
            _ => AppendOutcome::Unknown(error),
        }
    }

    fn reply_later(&mut self, gateway: usize, reply: Reply) {
        self.store.next += 1;
        let number = self.store.next;
        self.store.replies.insert(number, (gateway, reply));
        let at = self.now + self.rng.range(0, 3);
        self.at(at, Ev::Reply(number));
    }

    pub fn reply(&mut self, number: u64) {
        if let Some((gateway, reply)) = self.store.replies.remove(&number)
            && !self.gateways[gateway].is_dead()
        {
            reply();
        }
    }

    /// A gateway's process died. An embedded store keeps a prefix of what was queued; what is on its way to a
    /// remote one arrives in part, and later.
    pub fn store_loses(&mut self, gateway: usize) {
        let of = |(number, (from, job, _)): (&u64, &(usize, Job, Fate))| {
            (*from == gateway && !matches!(job.body, JobBody::Read(_))).then_some(*number)
        };
        let queued: Vec<u64> = self.store.jobs.iter().filter_map(of).collect();
        if self.store.remote {
            for number in queued {
                if self.rng.chance(500) {
                    self.store.jobs.remove(&number);
                } else if self.rng.chance(500) {
                    // It lingers until its time has come a second time.
                    let at = self.now + self.rng.range(1, 6_000);
                    self.at(at, Ev::Commit(number));
                }
            }
            return;
        }
        let keep = self.rng.below(queued.len() as u64 + 1) as usize;
        for (at, number) in queued.into_iter().enumerate() {
            match at < keep {
                true => self.commit(number),
                false => drop(self.store.jobs.remove(&number)),
            }
        }
    }

    /// What a planted bug takes for committed: the appends that are still on their way.
    fn unsynced(&self) -> Vec<storage::log::Append> {
        if self.mutant != Some(Mutant::OpenSeesUnsynced) {
            return Vec::new();
        }
        let appends = self.store.jobs.values().filter_map(|(_, job, _)| match &job.body {
            JobBody::Append(append, _) => Some((**append).clone()),
            _ => None,
        });
        appends.collect()
    }

    fn note_commits(&mut self) {
        for (key, tip) in std::mem::take(&mut self.store.data.committed) {
            let conversation = format!("{}/{}", key.tenant, key.conversation);
            let at = self.now;
            self.history.push(crate::support::history::Event::Committed { conversation, tip, at });
        }
    }
}

fn late() -> StoreError {
    StoreError::Unavailable("no answer in time".into())
}
