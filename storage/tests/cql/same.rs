//! The tables in memory answer as the real ones do: random schedules of operations, one after the other, on both.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use protocol::v1::Role;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use whimbrel_storage::cql::fake::FakeTables;
use whimbrel_storage::cql::tables::*;
use whimbrel_storage::directory::{DeviceKey, UserInfo};
use whimbrel_storage::key::ConversationKey;
use whimbrel_storage::presence::{PresenceState, Standing, UserName};

use super::cluster::{driver, shared};
use super::salted::Salted;

/// Each has operations of its own on names of its own. Several nodes take several times as long.
const SCHEDULES: u64 = 400;
const SCHEDULES_ON_SEVERAL: u64 = 100;
const OPERATIONS: usize = 30;
const AT_ONCE: usize = 24;

#[derive(Clone, Debug)]
enum Op {
    Head(Bucket, Reading),
    Entries(Bucket, EntryRange),
    Fence(Bucket, Option<u64>, u64),
    Commit(Box<Commit>),
    Write(Vec<Write>),
    Conversation(ConversationKey),
    Seat(ConversationKey, String),
    Seats(ConversationKey, String, usize),
    Slots(ConversationKey, u64),
    Silence(ConversationKey, u64),
    Fates(ConversationKey, u64, u64),
    Listed(String, ListRange, usize),
    Device(DeviceKey, Reading),
    Claim(u64, DeviceKey),
    Name(DeviceKey, u64),
    LastDevice(u16),
    Users(Vec<String>),
    PresenceTip,
    Standings(Vec<String>),
    AllStandings(usize),
    Beat(u64),
}

const TENANT: &str = "t";

/// Draws operations over so few names and numbers that they meet.
struct Draw(StdRng);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    fn maybe(&mut self, end: u64) -> Option<u64> {
        let value = self.below(end + 1);
        (value < end).then_some(value)
    }

    fn key(&mut self) -> ConversationKey {
        ConversationKey::new(TENANT, ["c", "d"][self.below(2) as usize])
    }

    fn user(&mut self) -> String {
        ["ann", "bob", "é", "Z"][self.below(4) as usize].to_owned()
    }

    fn bucket(&mut self) -> Bucket {
        let log = match self.below(3) {
            0 => LogName::Presence(TENANT.into()),
            _ => LogName::Conversation(self.key()),
        };
        Bucket { log, number: self.below(2) as u32 }
    }

    fn blob(&mut self) -> Bytes {
        let length = self.below(4) as usize;
        (0..length).map(|_| self.0.random::<u8>()).collect::<Vec<u8>>().into()
    }

    fn reading(&mut self) -> Reading {
        [Reading::Serial, Reading::Quorum][self.below(2) as usize]
    }

    fn device(&mut self) -> DeviceKey {
        let installation = ["", "phone"][self.below(2) as usize].to_owned();
        DeviceKey { tenant: TENANT.into(), user: self.user(), device_type: self.below(2) as u8, installation }
    }

    fn commit(&mut self) -> Commit {
        let tip = 1 + self.below(6);
        let end = End {
            tip,
            batch: [self.below(3) as u8; 16],
            base: self.below(3),
            at_ms: self.below(9) as i64 - 4,
            version: self.below(9),
            silent: self.below(3),
            shown: self.below(3),
            wide: self.below(2) == 1,
            changes: self.blob(),
        };
        let rows = (1..=1 + self.below(3)).map(|at| EntryRow {
            seq: tip + at,
            payload: self.blob(),
            meta: self.blob(),
            batch: (at == 1).then_some([at as u8; 16]),
        });
        let entries = rows.collect();
        let expected = Expected { epoch: self.maybe(3), tip: self.maybe(7) };
        Commit { bucket: self.bucket(), expected, epoch: self.below(3), end, entries, ttl: None }
    }

    fn write(&mut self) -> Write {
        let (key, user, seq) = (self.key(), self.user(), self.below(6));
        let tenant = TENANT.to_owned();
        match self.below(15) {
            0 => Write::Conversation { key, end: self.end(), info: self.maybe(2).map(|_| self.blob()) },
            1 => Write::Member { key, user, row: self.blob(), seq },
            2 => Write::Sent { key, user, seq },
            3 => Write::Read { key, user, seq, moved: self.below(4) },
            4 => Write::Delivered { key, user, seq },
            // What is more than one value follows from the timestamp, as it does for the backend.
            5 => {
                Write::Slot { key, device: 1, slot: self.below(3) as u8, client_msg_id: [seq as u8; 16], seq }
            }
            6 => Write::Silence { key, seq, silence: Silence { count: seq / 2, shown: seq / 3 } },
            7 => Write::Edited { key, seq, by: self.below(9) },
            8 => Write::Recalled { key, seq },
            9 => Write::List { tenant, user, row: self.list_row(), at: seq },
            10 => Write::Unlist { tenant, user, row: self.list_row(), at: seq },
            11 => {
                let role = Role::try_from((seq % 4) as i32).unwrap();
                Write::User { tenant, user, info: UserInfo { name: format!("n{seq}"), role }, at: seq }
            }
            12 => Write::LastDevice { worker: self.below(2) as u16, stamp: seq, id: self.below(5) },
            13 => Write::PresenceTip { tenant, tip: seq },
            _ if seq == 0 => Write::Beat { node: self.below(2), at_ms: self.below(9) as i64 },
            _ => Write::Standing { user: (tenant, user), standing: standing(seq) },
        }
    }

    fn end(&mut self) -> ConversationEnd {
        ConversationEnd {
            tip: self.below(6),
            at_ms: self.below(5) as i64 - 2,
            version: self.below(5),
            changed: self.below(5),
            silent: self.below(5),
            shown: self.below(5),
            wide: self.below(2) == 1,
        }
    }

    fn list_row(&mut self) -> ListRow {
        let conversation = ["", "a", "é"][self.below(3) as usize].to_owned();
        ListRow { kind: self.kind(), period: self.below(3), conversation }
    }

    fn kind(&mut self) -> ListKind {
        [ListKind::Entry, ListKind::Moved, ListKind::Wide][self.below(3) as usize]
    }

    fn range(&mut self) -> EntryRange {
        let first = self.below(9);
        let (backwards, limit) = (self.below(2) == 1, self.below(5) as usize);
        EntryRange { first, last: first + self.below(6), backwards, limit, max_bytes: usize::MAX }
    }

    fn list_range(&mut self) -> ListRange {
        let place = (self.below(4), ["", "a", "b"][self.below(3) as usize].to_owned());
        match self.below(2) {
            0 => ListRange::Falling { kind: self.kind(), before: place },
            _ => ListRange::Rising { kind: self.kind(), first: place },
        }
    }

    fn op(&mut self) -> Op {
        let (key, user) = (self.key(), self.user());
        match self.below(28) {
            0 => Op::Head(self.bucket(), self.reading()),
            1 | 2 => Op::Entries(self.bucket(), self.range()),
            3 => Op::Fence(self.bucket(), self.maybe(3), self.below(3)),
            4 | 5 => Op::Commit(Box::new(self.commit())),
            6 => Op::Conversation(key),
            7 => Op::Seat(key, user),
            8 => Op::Seats(key, ["", "ann"][self.below(2) as usize].to_owned(), self.below(4) as usize),
            9 => Op::Slots(key, 1),
            10 => Op::Silence(key, self.below(6)),
            11 => Op::Fates(key, self.below(4), self.below(7)),
            12 | 13 => Op::Listed(user, self.list_range(), self.below(5) as usize),
            14 => Op::Device(self.device(), self.reading()),
            15 => Op::Claim(self.below(3), self.device()),
            16 => Op::Name(self.device(), self.below(3)),
            17 => Op::LastDevice(self.below(2) as u16),
            18 => Op::Users(vec![user, self.user()]),
            19 => Op::PresenceTip,
            20 => Op::Standings(vec![user, self.user()]),
            21 => Op::AllStandings(1 + self.below(3) as usize),
            22 => Op::Beat(self.below(2)),
            _ => Op::Write((0..1 + self.below(4)).map(|_| self.write()).collect()),
        }
    }
}

fn standing(seq: u64) -> Standing {
    let state = [PresenceState::Offline, PresenceState::Away, PresenceState::Online][(seq % 3) as usize];
    Standing { state, since_ms: seq as i64 * 10, seq }
}

/// What tables answer, in words.
async fn perform(tables: &dyn Tables, op: &Op) -> String {
    match op.clone() {
        Op::Head(bucket, reading) => format!("{:?}", tables.head(&bucket, reading).await),
        Op::Entries(bucket, range) => format!("{:?}", tables.entries(&bucket, range).await),
        Op::Fence(bucket, was, epoch) => format!("{:?}", tables.fence(&bucket, was, epoch).await),
        Op::Commit(commit) => format!("{:?}", tables.commit(*commit).await),
        Op::Write(writes) => format!("{:?}", tables.write(writes).await),
        Op::Conversation(key) => format!("{:?}", tables.conversation(&key).await),
        Op::Seat(key, user) => format!("{:?}", tables.seat(&key, &user).await),
        Op::Seats(key, after, limit) => format!("{:?}", tables.seats(&key, &after, limit).await),
        Op::Slots(key, device) => format!("{:?}", tables.slots(&key, device).await),
        Op::Silence(key, seq) => format!("{:?}", tables.silence(&key, seq).await),
        Op::Fates(key, first, last) => format!("{:?}", tables.fates(&key, first, last).await),
        Op::Listed(user, range, limit) => format!("{:?}", tables.listed(TENANT, &user, range, limit).await),
        Op::Device(key, reading) => format!("{:?}", tables.device(&key, reading).await),
        Op::Claim(id, key) => format!("{:?}", tables.claim_id(id, &key).await),
        Op::Name(key, id) => format!("{:?}", tables.name_device(&key, id).await),
        Op::LastDevice(worker) => format!("{:?}", tables.last_device(worker).await),
        Op::Users(users) => format!("{:?}", tables.users(TENANT, &users).await),
        Op::PresenceTip => format!("{:?}", tables.presence_tip(TENANT).await),
        Op::Standings(users) => format!("{:?}", tables.standings(TENANT, &users).await),
        Op::AllStandings(limit) => all_standings(tables, limit).await,
        Op::Beat(node) => format!("{:?}", tables.beat(node).await),
    }
}

/// In parts of `limit`. The order is any that stays, so what is compared is which there are.
async fn all_standings(tables: &dyn Tables, limit: usize) -> String {
    let mut found: Vec<(UserName, Standing)> = Vec::new();
    loop {
        let after = found.last().map(|(name, _)| name.clone());
        let part = tables.all_standings(after.as_ref(), limit).await.unwrap();
        if part.is_empty() {
            break;
        }
        found.extend(part);
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    format!("{found:?}")
}

async fn run(seed: u64, real: &Salted) -> Result<(), String> {
    let fake = FakeTables::new(seed);
    let mut draw = Draw(StdRng::seed_from_u64(seed));
    let mut history = String::new();
    for _ in 0..OPERATIONS {
        let op = draw.op();
        let (here, there) = (perform(&fake, &op).await, perform(real, &op).await);
        writeln!(history, "{op:?}\n    -> {there}").unwrap();
        if here != there {
            return Err(format!("seed {seed}: in memory {here}, on the cluster {there}, after\n{history}"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn random_schedules_end_alike() {
    let driver = Arc::new(driver().await);
    let nodes = shared().await.0.contact_points.len();
    let schedules = if nodes > 1 { SCHEDULES_ON_SEVERAL } else { SCHEDULES };
    let runs = (0..schedules).map(|seed| {
        let real = Salted::new(driver.clone());
        async move { run(seed, &real).await }
    });
    let results: Vec<_> = stream::iter(runs).buffer_unordered(AT_ONCE).collect().await;
    let failed: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{} of {schedules} differ, the first:\n{}", failed.len(), failed[0]);
}
