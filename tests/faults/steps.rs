//! What devices see of a step of the clocks: ids, tokens, connections old and new, heartbeats, times of messages.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::code::Code;
use protocol::v1::{GoAway, Welcome};
use tokio::task::JoinSet;

use crate::report::Report;
use crate::storm::reached;
use crate::support::clock::WrongClock;
use crate::support::fleet::Fleet;
use crate::support::process::Gateway;
use crate::support::raw::{Raw, hello, text_to};
use crate::support::tokens::TENANT;
use crate::twice::hears;
use crate::writers::Writers;

/// In seconds.
pub const HOUR: i64 = 3_600;
pub const HEARTBEAT_MS: u32 = 2_000;
/// Who says nothing is closed after three heartbeats, give or take what a busy machine takes.
const CLOSED_S: [f64; 2] = [4.0, 8.0];
/// From one step to the next, at the least.
const DWELL: Duration = Duration::from_secs(4);
/// How long a sender waits for an answer.
const ANSWER: Duration = Duration::from_secs(15);
/// Every room is written to, a push is there, within this.
const SOON: Duration = Duration::from_secs(20);
const ROOMS: usize = 3;
/// Devices that stay connected all the time; that log in again at each step; that come for the first time then.
const STEADY: usize = 24;
const AGAIN: usize = 3;
const NEW: usize = 4;
/// A token is valid for so long, by the clock of who judges it; was until a moment ago; is not any more: past the leeway.
const VALID_S: i64 = 30;
const JUST_OVER_S: i64 = -1;
const OVER_S: i64 = -8;
/// By how much a time may seem to differ because an answer was on its way.
const NEARLY_MS: i64 = 60_000;

/// Where devices log in, and the clocks: of the owners first, of those places last; of one gateway there is one.
pub struct Place<'a> {
    pub doors: Vec<&'a Gateway>,
    pub clocks: &'a [WrongClock],
}

/// Has the clocks go through the steps under load, so often: each step says by how many seconds each clock is ahead then.
pub async fn under(report: &mut Report, place: &Place<'_>, steps: &[Vec<i64>], rounds: usize) -> Writers {
    let load = Writers::start(&place.doors, ROOMS, ANSWER).await;
    let mut world = World::begin(report, place, steps.len()).await;
    for n in 0..rounds * steps.len() {
        world.step(report, &load, n % steps.len(), &steps[n % steps.len()]).await;
    }
    world.end(report).await;
    load
}

struct World<'a> {
    place: &'a Place<'a>,
    /// By how much each clock is ahead now, and the most that it was.
    ahead: Vec<i64>,
    furthest: Vec<i64>,
    fleet: Fleet,
    settled: Instant,
    /// Every device's id, and whose it is.
    ids: BTreeMap<u64, String>,
    /// How long it took until connections that say nothing were closed.
    closed: JoinSet<Duration>,
    again: usize,
    new: [usize; 2],
    tokens: usize,
}

impl<'a> World<'a> {
    /// All who log in again later are known before the first step.
    async fn begin(report: &mut Report, place: &'a Place<'a>, steps: usize) -> World<'a> {
        let began = Instant::now();
        let fleet = Fleet::login(place.doors[0].tcp, &place.doors[0].issuer, "steady", STEADY).await;
        report.exactly("devices connected", fleet.back(began, SOON).await.len(), STEADY);
        let ahead = vec![0; place.clocks.len()];
        let mut world = World {
            place,
            furthest: ahead.clone(),
            ahead,
            fleet,
            settled: Instant::now(),
            ids: BTreeMap::new(),
            closed: JoinSet::new(),
            again: 0,
            new: [0; 2],
            tokens: 0,
        };
        for step in 0..steps {
            let names = (0..AGAIN).map(|n| format!("again-{step}-{n}"));
            for user in names.chain(["silent", "teller", "judged"].map(|role| format!("{role}-{step}"))) {
                let (_, welcome) = world.log_in(0, &user).await.expect("it logs in");
                world.note(report, welcome.device_id, &user);
            }
        }
        report.exactly("devices reached before", world.reached("before").await, STEADY);
        world
    }

    async fn step(&mut self, report: &mut Report, load: &Writers, step: usize, to: &[i64]) {
        let last = self.place.doors.len() - 1;
        let (mut silent, _) = self.log_in(last, &format!("silent-{step}")).await.expect("it logs in");
        self.closed.spawn(async move {
            let began = Instant::now();
            silent.away().await;
            began.elapsed()
        });
        let mut older = Vec::new();
        for n in 0..AGAIN {
            older.push(self.log_in(n % (last + 1), &format!("again-{step}-{n}")).await.expect("it logs in"));
        }
        let before = std::mem::replace(&mut self.ahead, to.to_vec());
        self.place.clocks.iter().zip(to).for_each(|(clock, to)| clock.step(*to));
        let since = Instant::now();
        self.log_in_again(report, step, older).await;
        self.come_anew(report).await;
        self.judge(report, step).await;
        let name = format!("clocks {before:?} to {to:?}");
        report.exactly(format!("{name}: devices reached"), self.reached(&name).await, STEADY);
        for door in 0..=last {
            let took = load.acks(door, since, SOON * 3).await.unwrap_or(SOON * 3).as_secs_f64();
            report.at_most(format!("{name}: every room is written to after"), took, "s", SOON.as_secs_f64());
        }
        if let ([was], [is]) = (before.as_slice(), to) {
            let near = |ahead: i64| ahead * 1_000 - NEARLY_MS..ahead * 1_000 + NEARLY_MS;
            let wrong = load.with_another_clock(0, since, near(*is));
            report.exactly(format!("{name}: acks that have another time"), wrong, 0);
            let planted = load.with_another_clock(0, since, near(*was));
            report.at_least(format!("{name}: planted: by the clock before"), planted as f64, "", 1.0);
        }
        tokio::time::sleep(DWELL.saturating_sub(since.elapsed())).await;
    }

    /// The id stays, and the later login is the newest, also where its time is earlier.
    async fn log_in_again(&mut self, report: &mut Report, step: usize, older: Vec<(Raw, Welcome)>) {
        let doors = self.place.doors.len();
        let (mut teller, _) = self.log_in(0, &format!("teller-{step}")).await.expect("it logs in");
        for (n, (_older, welcome)) in older.into_iter().enumerate() {
            let user = format!("again-{step}-{n}");
            let (mut newer, again) = self.log_in((n + 1) % doors, &user).await.expect("it logs in");
            if again.device_id != welcome.device_id || self.ids.get(&again.device_id) != Some(&user) {
                report.violation(format!("{user} got another id at {:?}", self.ahead));
            }
            let word = format!("{user} {}", rand::random::<u64>());
            teller.send(text_to(&user, &word)).await;
            let heard = tokio::time::timeout(SOON, hears(&mut newer, &word)).await;
            if !matches!(heard, Ok(Some(_))) {
                report.violation(format!("{user} is not reached at {:?}", self.ahead));
            }
            self.again += 1;
        }
    }

    /// New devices get ids that nobody had; none where the clock is behind ids that were made.
    async fn come_anew(&mut self, report: &mut Report) {
        let owners = (self.place.clocks.len() - self.place.doors.len()).max(1);
        let is_behind = |n: usize| self.ahead[n] < self.furthest[n];
        let (all_behind, some_behind) = ((0..owners).all(is_behind), (0..owners).any(is_behind));
        for n in 0..NEW {
            let user = format!("new-{}", rand::random::<u64>());
            match self.log_in(n % self.place.doors.len(), &user).await {
                // One owner of several may not have made any while it was ahead.
                Ok(_) if all_behind && owners == 1 => {
                    report.violation(format!("a new id although the clock is behind: {:?}", self.ahead));
                }
                Ok((_, welcome)) => {
                    self.note(report, welcome.device_id, &user);
                    self.new[0] += 1;
                }
                Err(away) if some_behind && away.code == Code::UNAVAILABLE.number() => self.new[1] += 1,
                Err(away) => report.violation(format!("no new id at {:?}: {away:?}", self.ahead)),
            }
        }
        let furthest = self.furthest.iter_mut().zip(&self.ahead);
        furthest.for_each(|(furthest, ahead)| *furthest = (*furthest).max(*ahead));
    }

    /// A token holds to its end and the leeway, by the clock of the place where it is shown.
    async fn judge(&mut self, report: &mut Report, step: usize) {
        for door in 0..self.place.doors.len() {
            for (seconds, holds) in [(VALID_S, true), (JUST_OVER_S, true), (OVER_S, false)] {
                if self.holds(door, step, seconds).await != holds {
                    let ahead = self.ahead_at(door);
                    report.violation(format!(
                        "a token that ends in {seconds} s by a clock {ahead} s ahead: {holds}"
                    ));
                }
                self.tokens += 1;
            }
        }
    }

    async fn holds(&self, door: usize, step: usize, seconds: i64) -> bool {
        match self.show(door, &format!("judged-{step}"), seconds).await {
            Ok(_) => true,
            Err(away) => {
                assert_eq!(away.code, Code::TOKEN_EXPIRED.number(), "{away:?}");
                false
            }
        }
    }

    async fn end(mut self, report: &mut Report) {
        let mut closed = Vec::new();
        while let Some(took) = self.closed.join_next().await {
            closed.push(took.expect("it does not break off"));
        }
        let least = closed.iter().min().map_or(0.0, Duration::as_secs_f64);
        report.at_least("who says nothing is closed, the first after", least, "s", CLOSED_S[0]);
        report.percentiles("who says nothing is closed after", &closed, 50.0, 100.0, Some(CLOSED_S[1]));
        report.exactly("devices connected all the time", self.fleet.stayed(self.settled), STEADY);
        report.figure("known devices that logged in again", self.again as f64, "");
        report.at_least("new devices", self.new[0] as f64, "", 1.0);
        report.at_least("new devices put off while a clock was behind", self.new[1] as f64, "", 1.0);
        report.figure("tokens judged", self.tokens as f64, "");
        let (id, mut planted) = (*self.ids.keys().next().expect("there are devices"), Report::new());
        self.note(&mut planted, id, "somebody else");
        report.exactly("planted: an id given twice is seen", planted.finish().len(), 1);
        report.exactly("planted: a token that is over holds", self.holds(0, 0, OVER_S).await.into(), 0);
    }

    fn note(&mut self, report: &mut Report, id: u64, user: &str) {
        if let Some(other) = self.ids.insert(id, user.to_owned()) {
            report.violation(format!("{user} and {other} have one id"));
        }
    }

    async fn reached(&self, word: &str) -> usize {
        let door = self.place.doors[0];
        let token = |user: &str| door.issuer.lasting(TENANT, user, self.ahead_at(0) + VALID_S);
        reached(door.tcp, token, &self.fleet, word).await
    }

    /// A known or new device at one of the places, with a token that holds there.
    async fn log_in(&self, door: usize, user: &str) -> Result<(Raw, Welcome), GoAway> {
        self.show(door, user, VALID_S).await
    }

    async fn show(&self, door: usize, user: &str, seconds: i64) -> Result<(Raw, Welcome), GoAway> {
        let gateway = self.place.doors[door];
        let token = gateway.issuer.lasting(TENANT, user, self.ahead_at(door) + seconds);
        let mut raw = Raw::connect(gateway.tcp).await;
        let welcome = raw.hello(hello(&token, "phone")).await?;
        Ok((raw, welcome))
    }

    fn ahead_at(&self, door: usize) -> i64 {
        self.ahead[self.place.clocks.len() - self.place.doors.len() + door]
    }
}
