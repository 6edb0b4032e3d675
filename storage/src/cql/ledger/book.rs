//! One ledger as this process knows it: who waits for a round, and what is committed and not written yet.
//!
//! Nobody runs a task for it. Whoever asks while nobody makes rounds makes the next one, with everything that has come
//! until then, and hands on to the first who came later.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::cql::tables::LogName;
use crate::cql::tail::Tail;
use crate::error::StoreError;

/// The most that wait for one ledger; what comes then is refused as overloaded.
pub const MAX_WAITING: usize = 4_096;
/// Records of one round, and their bytes; the first is taken whatever its size.
pub const ROUND_RECORDS: usize = 128;
const ROUND_BYTES: usize = 256 * 1024;

/// One ledger.
pub(super) struct Book {
    pub(super) log: LogName,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Asked>,
    /// Somebody makes a round, or was told to.
    is_led: bool,
    /// The tenure; 0 while this process does not hold the ledger.
    tenure: u64,
    /// The latest there was.
    last_tenure: u64,
    /// Where the ledger ends, in a tenure.
    tail: Option<Tail>,
    /// Numbers of records that are committed and not known to be written, in a tenure.
    unwritten: BTreeSet<u64>,
}

/// What is asked of a ledger.
pub(super) enum Ask {
    /// To be held.
    Hold,
    /// To commit a record, if that tenure is not over.
    Commit { tenure: u64, record: Bytes },
}

pub(super) struct Asked {
    pub(super) what: Ask,
    pub(super) answer: oneshot::Sender<Answer>,
}

pub(super) enum Answer {
    /// In this tenure.
    Held(u64),
    Committed(Committed),
    /// Not committed: somebody else has taken over the ledger, or something had to be written again.
    Over,
    Refused(StoreError),
    /// Perhaps committed; the next takeover of the ledger finds out.
    Unknown(StoreError),
    /// Make the next round, and wait for the answer there. In this order: where both are dropped, nobody waits any more
    /// when the lead is handed on.
    Lead(oneshot::Receiver<Answer>, Lead),
}

/// A record that is committed. Dropped before it is written, it ends the tenure: somebody has to write it.
pub(super) struct Committed {
    book: Arc<Book>,
    tenure: u64,
    /// The ledger's number of it.
    pub(super) at: u64,
    is_written: bool,
}

impl Committed {
    /// Everything that follows from the record is on stable storage.
    pub(super) fn written(mut self) {
        self.is_written = true;
        let mut state = self.book.state.lock();
        if state.tenure == self.tenure {
            state.unwritten.remove(&self.at);
        }
    }
}

impl Drop for Committed {
    fn drop(&mut self) {
        if !self.is_written {
            self.book.end_tenure(self.tenure);
        }
    }
}

/// The turn to make a round. Dropped, it goes to the first who waits.
pub(super) struct Lead {
    pub(super) book: Arc<Book>,
    /// The tenure of a round that is under way: if its maker goes away, nobody knows what became of it.
    pub(super) under_way: Option<u64>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        if let Some(tenure) = self.under_way {
            self.book.end_tenure(tenure);
        }
        self.book.hand_on();
    }
}

impl Book {
    pub(super) fn new(log: LogName) -> Book {
        Book { log, state: Mutex::default() }
    }

    /// The tenure, if this process holds the ledger.
    pub(super) fn tenure(&self) -> Option<u64> {
        Some(self.state.lock().tenure).filter(|tenure| *tenure > 0)
    }

    /// Waits in line. The lead is for whoever finds nobody making rounds.
    pub(super) fn ask(
        self: &Arc<Self>,
        what: Ask,
    ) -> Result<(oneshot::Receiver<Answer>, Option<Lead>), StoreError> {
        let mut state = self.state.lock();
        if state.waiting.len() >= MAX_WAITING {
            return Err(StoreError::Overloaded);
        }
        let (answer, receiver) = oneshot::channel();
        state.waiting.push_back(Asked { what, answer });
        let leads = !std::mem::replace(&mut state.is_led, true);
        Ok((receiver, leads.then(|| Lead { book: self.clone(), under_way: None })))
    }

    /// The next round's: who is still there, in order, up to the bounds of a round and `most`.
    pub(super) fn next_round(&self, most: u64) -> Vec<Asked> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(ROUND_RECORDS);
        let mut state = self.state.lock();
        let (mut round, mut bytes) = (Vec::new(), 0);
        while let Some(asked) = state.waiting.pop_front() {
            let size = if let Ask::Commit { record, .. } = &asked.what { record.len() } else { 0 };
            if !round.is_empty() && (round.len() >= most || bytes + size > ROUND_BYTES) {
                state.waiting.push_front(asked);
                break;
            }
            if !asked.answer.is_closed() {
                bytes += size;
                round.push(asked);
            }
        }
        round
    }

    /// A tenure begins: everything that was committed is written.
    pub(super) fn begin_tenure(&self, tail: Tail) -> u64 {
        let mut state = self.state.lock();
        state.last_tenure += 1;
        state.tenure = state.last_tenure;
        state.tail = Some(tail);
        state.unwritten.clear();
        state.tenure
    }

    /// If it is still that one.
    pub(super) fn end_tenure(&self, tenure: u64) {
        let mut state = self.state.lock();
        if state.tenure == tenure {
            state.tenure = 0;
        }
    }

    /// Where the ledger ends, and up to which record everything is written.
    pub(super) fn end(&self, tenure: u64) -> Option<(Tail, u64)> {
        let state = self.state.lock();
        let tail = state.tail.clone().filter(|_| state.tenure == tenure)?;
        let written = state.unwritten.first().map_or(tail.end.tip, |first| first - 1);
        Some((tail, written))
    }

    /// A round was committed: the records up to the tail's tip. A handle for each.
    pub(super) fn committed(self: &Arc<Self>, tenure: u64, tail: Tail) -> Vec<Committed> {
        let numbers = tail.end.base + 1..=tail.end.tip;
        let mut state = self.state.lock();
        if state.tenure == tenure {
            state.unwritten.extend(numbers.clone());
            state.tail = Some(tail);
        }
        drop(state);
        numbers.map(|at| Committed { book: self.clone(), tenure, at, is_written: false }).collect()
    }

    /// Tells the first who is still there to make the next round.
    fn hand_on(self: &Arc<Self>) {
        let mut state = self.state.lock();
        while let Some(asked) = state.waiting.pop_front() {
            if asked.answer.is_closed() {
                continue;
            }
            let (answer, receiver) = oneshot::channel();
            state.waiting.push_front(Asked { what: asked.what, answer });
            drop(state);
            let lead = Lead { book: self.clone(), under_way: None };
            // Whoever has gone away meanwhile gives the lead back, and it is handed on from there.
            drop(asked.answer.send(Answer::Lead(receiver, lead)));
            return;
        }
        state.is_led = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(bytes: usize) -> Ask {
        Ask::Commit { tenure: 1, record: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn one_leads_and_hands_on_to_whoever_is_there() {
        let book = Arc::new(Book::new(LogName::Ledger(1)));
        let (_first, lead) = book.ask(commit(1)).ok().unwrap();
        let (second, none) = book.ask(commit(1)).ok().unwrap();
        let (mut third, also_none) = book.ask(commit(1)).ok().unwrap();
        assert!(none.is_none() && also_none.is_none());
        let lead = lead.unwrap();
        book.state.lock().waiting.pop_front();
        drop(second);
        drop(lead);
        let Ok(Answer::Lead(_again, lead)) = third.try_recv() else { panic!("the third leads") };
        assert_eq!(book.next_round(u64::MAX).len(), 1);
        drop(lead);
        assert!(!book.state.lock().is_led);
        // A lead that nobody has taken up is handed on as well.
        let (_receiver, lead) = book.ask(commit(1)).ok().unwrap();
        let (waits, _) = book.ask(commit(1)).ok().unwrap();
        book.next_round(u64::MAX);
        let (told, _) = book.ask(commit(1)).ok().unwrap();
        drop(lead);
        drop(told);
        drop(waits);
        assert!(!book.state.lock().is_led);
        assert!(book.ask(commit(1)).ok().unwrap().1.is_some());
    }

    #[test]
    fn a_round_and_the_line_are_bounded() {
        let book = Arc::new(Book::new(LogName::Ledger(1)));
        let large: Vec<_> = (0..3).map(|_| book.ask(commit(ROUND_BYTES / 2 + 1)).ok().unwrap()).collect();
        assert_eq!([(); 3].map(|()| book.next_round(u64::MAX).len()), [1; 3]);
        drop(large);
        let all: Vec<_> = (0..MAX_WAITING).map(|_| book.ask(commit(1)).ok().unwrap()).collect();
        assert!(matches!(book.ask(commit(1)), Err(StoreError::Overloaded)));
        assert_eq!(book.next_round(u64::MAX).len(), ROUND_RECORDS);
        drop(all);
        assert_eq!(book.next_round(u64::MAX).len(), 0);
    }

    #[test]
    fn what_is_not_written_ends_the_tenure() {
        let book = Arc::new(Book::new(LogName::Ledger(1)));
        let bucket = crate::cql::tables::Bucket { log: book.log.clone(), number: 0 };
        let mut tail = Tail::new(bucket, 1, crate::cql::tables::End::default());
        let tenure = book.begin_tenure(tail.clone());
        (tail.end.base, tail.end.tip) = (0, 3);
        let mut committed = book.committed(tenure, tail.clone());
        let written = |book: &Book| book.end(tenure).map(|(_, written)| written);
        assert_eq!(written(&book), Some(0));
        committed.pop().unwrap().written();
        committed.remove(0).written();
        assert_eq!(written(&book), Some(1), "the second is not written");
        drop(committed);
        assert_eq!((book.tenure(), written(&book)), (None, None));
        assert_eq!(book.begin_tenure(tail), tenure + 1);
        book.end_tenure(tenure);
        assert_eq!(book.tenure(), Some(tenure + 1));
    }
}
