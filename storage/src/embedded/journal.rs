//! Looks at the engine's journal before the engine does.
//!
//! The engine stops replaying at the first batch that it cannot read and cuts the file there: right for a torn tail,
//! and silent loss where the damage lies further up. So the files are read first. The store is written by one thread
//! that waits for the disk before it begins the next commit, so at most the *last* commit may be torn, and each
//! commit bears the store's secret id and its number. Anything in front of a later number was acknowledged: that is
//! damage. What follows the last whole commit and has no later number in it is a tail that nobody was told about.

use xxhash_rust::xxh3::xxh3_64;

use super::identity::StoreId;
use super::keys;
use super::rows::{Commit, Row};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: &[u8] = b"FJL\x03";

/// What a sound journal file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// Number of the last whole commit here or in an earlier file.
    pub(super) last: Option<u64>,
    /// Engine's sequence number of that commit.
    seqno: Option<u64>,
    /// Where a torn tail begins, if there is one.
    pub(super) torn_at: Option<u64>,
}

/// Damage that is no torn tail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("damaged at byte {at}, after commit {}: {why}", after.map_or_else(|| "unknown".into(), |last| last.to_string()))]
pub(super) struct Damage {
    pub(super) at: u64,
    after: Option<u64>,
    why: &'static str,
}

/// Reads one file. `before` is what the file before it held; `sealed` says that the engine has begun a later file,
/// which it does only after this one is whole on disk.
pub(super) fn scan(bytes: &[u8], id: &StoreId, before: Journal, sealed: bool) -> Result<Journal, Damage> {
    let mut found = Journal { torn_at: None, ..before };
    let mut at = 0;
    let written = written(bytes);
    while at < written {
        let damage = |why| Damage { at: at as u64, after: found.last, why };
        let Some(batch) = Batch::parse(&bytes[at..]).filter(|batch| batch.commit.store == *id) else {
            if sealed {
                return Err(damage("this file was complete once"));
            }
            if later_commit(&bytes[at..bytes.len().min(written + 8)], id, found.last) {
                return Err(damage("later commits follow"));
            }
            found.torn_at = Some(at as u64);
            break;
        };
        if found.last.is_some_and(|last| batch.commit.number != last + 1) {
            return Err(damage("a commit is missing"));
        }
        if found.seqno.is_some_and(|seqno| batch.seqno <= seqno) {
            return Err(damage("the commits are out of order"));
        }
        found.last = Some(batch.commit.number);
        found.seqno = Some(batch.seqno);
        at += batch.length;
    }
    Ok(found)
}

/// Bytes up to the last that is not zero: the engine allocates files ahead, filled with zeros.
fn written(bytes: &[u8]) -> usize {
    const BLOCK: [u8; 4096] = [0; 4096];
    let mut written = bytes;
    // Whole blocks first, which compares as fast as memory is read.
    while let Some(rest) = written.strip_suffix(&BLOCK) {
        written = rest;
    }
    written.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1)
}

/// Whether a commit that came after the one that should stand here has left its mark.
fn later_commit(bytes: &[u8], id: &StoreId, last: Option<u64>) -> bool {
    let mut numbers = bytes.windows(id.len() + 8).filter(|window| window.starts_with(id)).map(number);
    match last {
        Some(last) => numbers.any(|number| number > last + 1),
        // Without a number to compare with, two different ones say that the first was finished.
        None => numbers.next().is_some_and(|first| numbers.any(|number| number != first)),
    }
}

fn number(window: &[u8]) -> u64 {
    window.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// One whole batch: start, items, end with the checksum over the items.
struct Batch {
    length: usize,
    seqno: u64,
    commit: Commit,
}

impl Batch {
    fn parse(bytes: &[u8]) -> Option<Batch> {
        let mut rest = Rest(bytes);
        rest.tag(START)?;
        let count = u32::from_le_bytes(rest.array()?);
        let seqno = u64::from_le_bytes(rest.array()?);
        let items_at = rest.0;
        let mut commit = None;
        for _ in 0..count {
            let (key, value) = rest.item()?;
            if key == keys::commit() {
                commit = Commit::decode(value);
            }
        }
        let items = &items_at[..items_at.len() - rest.0.len()];
        rest.tag(END)?;
        let checksum = u64::from_le_bytes(rest.array()?);
        rest.0 = rest.0.strip_prefix(TRAILER)?;
        (checksum == xxh3_64(items)).then_some(())?;
        Some(Batch { length: bytes.len() - rest.0.len(), seqno, commit: commit? })
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn tag(&mut self, tag: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[tag])?;
        Some(())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Key and stored value of one item.
    fn item(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        self.tag(ITEM)?;
        let [_value_type, _compression] = self.array()?;
        let _keyspace = u64::from_le_bytes(self.array()?);
        let key = u16::from_le_bytes(self.array()?);
        let _value = u32::from_le_bytes(self.array()?);
        let stored = u32::from_le_bytes(self.array()?);
        Some((self.take(key.into())?, self.take(stored.try_into().ok()?)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: StoreId = *b"sixteen  secrets";

    fn item(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![ITEM, 0, 0];
        bytes.extend(1u64.to_le_bytes());
        bytes.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes().repeat(2));
        bytes.extend([key, value].concat());
        bytes
    }

    fn batch(number: u64, payload: &[u8]) -> Vec<u8> {
        let commit = Commit { store: ID, number, incarnation: 1 };
        let items = [item(&keys::commit(), &commit.encode()), item(b"\x01entry", payload)].concat();
        let mut bytes = vec![START];
        bytes.extend(2u32.to_le_bytes());
        bytes.extend((number * 2).to_le_bytes());
        bytes.extend(&items);
        bytes.push(END);
        bytes.extend(xxh3_64(&items).to_le_bytes());
        bytes.extend(TRAILER);
        bytes
    }

    fn file(numbers: std::ops::Range<u64>) -> Vec<u8> {
        numbers.flat_map(|number| batch(number, &[0xAB; 40])).collect()
    }

    fn read(bytes: &[u8]) -> Result<Journal, Damage> {
        scan(bytes, &ID, Journal::default(), false)
    }

    #[test]
    fn a_sound_file_reads_to_its_end() {
        let mut bytes = file(5..9);
        bytes.extend([0; 1000]);
        let found = read(&bytes).unwrap();
        assert_eq!((found.last, found.torn_at), (Some(8), None));
        assert_eq!(scan(&bytes, &ID, Journal::default(), true).unwrap(), found);
        assert_eq!(read(&[0; 64]).unwrap(), Journal::default());
    }

    #[test]
    fn files_continue_one_another() {
        let before = read(&file(1..4)).unwrap();
        assert_eq!(scan(&file(4..6), &ID, before, false).unwrap().last, Some(5));
        assert!(scan(&file(5..6), &ID, before, false).is_err(), "a file between them is missing");
    }

    #[test]
    fn a_tail_torn_anywhere_is_no_damage_in_the_last_file() {
        let (whole, torn) = (file(1..4), batch(4, &[0xCD; 40]));
        for length in 1..torn.len() {
            let bytes = [&whole[..], &torn[..length], &[0; 64]].concat();
            let found = read(&bytes).unwrap();
            assert_eq!((found.last, found.torn_at), (Some(3), Some(whole.len() as u64)), "{length}");
            assert!(scan(&bytes, &ID, Journal::default(), true).is_err(), "{length}");
        }
    }

    #[test]
    fn a_payload_cannot_forge_a_commit() {
        let forged = [&b"sixteen .secrets"[..], &99u64.to_be_bytes()].concat();
        let mut bytes = [file(1..3), batch(3, &forged)].concat();
        bytes.truncate(bytes.len() - 3);
        assert_eq!(read(&bytes).unwrap().last, Some(2));
    }

    proptest! {
        /// Whatever one byte becomes, acknowledged commits are whole or the damage is named: only the last may go.
        #[test]
        fn no_flip_hides_a_commit(at in 0usize..10_000, flip in 1u8..) {
            let mut bytes = file(1..6);
            let last = bytes.len() - batch(5, &[0xAB; 40]).len();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            match read(&bytes) {
                Err(_) => prop_assert!(at < bytes.len()),
                Ok(found) => prop_assert!(
                    found.last == Some(5) || (found.last == Some(4) && at >= last),
                    "{:?} after a flip at {}", found, at
                ),
            }
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
