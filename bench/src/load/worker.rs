//! One generator process: reads its plan, then orders, from stdin; tells what comes of them on stdout.

use std::io::Write as _;

use anyhow::{Context as _, bail, ensure};

use super::clock::{self, MILLISECOND, SECOND};
use super::conn::State;
use super::engine::Engine;
use super::order::{Order, Word};
use super::plan::Plan;
use super::scenario::{self, Scenario};
use crate::measure::processors;

/// How long what is under way when the traffic stops may take to come.
const TAIL: u64 = 20 * SECOND;
/// How long nobody may get on with logging in.
const STUCK: u64 = 30 * SECOND;
const TELL_EVERY: u64 = 200 * MILLISECOND;
/// Acknowledgements that wait for more go at the latest after this. Each time every fifteenth device shows a sign of life.
const REFRESH_EVERY: u64 = 3 * SECOND;
const ALIVE_EVERY: u64 = 15;

/// Runs until stdin ends, or something goes wrong.
pub fn run() -> anyhow::Result<()> {
    let mut lines = Lines::default();
    let first = loop {
        if let Some(line) = lines.next() {
            break line;
        }
        ensure!(lines.read()?, "no plan");
    };
    let plan: Plan = serde_json::from_slice(&first).context("no plan")?;
    if let Some(cpu) = plan.cpu {
        processors::pin(cpu)?;
    }
    let mut worker = Worker::new(&plan)?;
    match worker.run(&mut lines) {
        Ok(()) => Ok(()),
        Err(error) => {
            let tally = std::mem::take(&mut worker.scenario.book().tally);
            tell(&Word::Failed { problem: format!("{error:#}"), tally: Box::new(tally) })
        }
    }
}

struct Worker {
    engine: Engine,
    scenario: Box<dyn Scenario>,
    at_once: usize,
    /// The next device to log in.
    next: usize,
    opening: bool,
    preparing: bool,
    /// How many devices were logged in when somebody was let in last, and when that was.
    let_in: usize,
    let_in_at: u64,
    stopping: Option<u64>,
    told_at: u64,
    refreshed_at: u64,
    refreshed: u64,
    reaching: Option<Reaching>,
    ended: bool,
}

/// Devices are being reached.
struct Reaching {
    count: u32,
    /// Since when no other one has been.
    since: u64,
}

impl Worker {
    fn new(plan: &Plan) -> anyhow::Result<Worker> {
        Ok(Worker {
            engine: Engine::new(plan)?,
            scenario: scenario::of(plan)?,
            at_once: plan.at_once.max(1),
            next: usize::MAX,
            opening: false,
            preparing: false,
            let_in: 0,
            let_in_at: 0,
            stopping: None,
            told_at: 0,
            refreshed_at: clock::now(),
            refreshed: 0,
            reaching: None,
            ended: false,
        })
    }

    fn run(&mut self, lines: &mut Lines) -> anyhow::Result<()> {
        // What came together with the plan.
        self.obey_all(lines)?;
        while !self.ended {
            self.open()?;
            let due = self.scenario.pace(&mut self.engine, clock::now())?;
            let wait = self.engine.patience(due);
            self.engine.turn(wait, &mut *self.scenario)?;
            if std::mem::take(&mut self.engine.commanded) {
                self.command(lines)?;
            }
            self.watch()?;
        }
        Ok(())
    }

    fn command(&mut self, lines: &mut Lines) -> anyhow::Result<()> {
        self.ended = !lines.read()?;
        self.obey_all(lines)
    }

    fn obey_all(&mut self, lines: &mut Lines) -> anyhow::Result<()> {
        while let Some(line) = lines.next() {
            self.obey(serde_json::from_slice(&line)?)?;
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> anyhow::Result<()> {
        match order {
            Order::Open { resume } => {
                self.engine.conns.iter_mut().for_each(|conn| conn.device.session.resume = resume);
                self.scenario.book().tally.resumed = 0;
                (self.next, self.opening, self.let_in_at) = (0, true, clock::now());
            }
            Order::Cut => self.engine.cut(),
            Order::Go => {
                self.scenario.go(&mut self.engine)?;
                let reaching = Reaching { count: 0, since: clock::now() };
                self.reaching = self.scenario.reached().map(|_| reaching);
            }
            Order::Measure => self.scenario.book().begin(),
            Order::Stop => {
                self.scenario.book().end();
                self.scenario.stop();
                self.stopping = Some(clock::now());
            }
        }
        Ok(())
    }

    /// Sets more logins under way.
    fn open(&mut self) -> anyhow::Result<()> {
        // Who was put off is still under way: others wait until they are in.
        while self.opening
            && self.next < self.engine.conns.len()
            && self.engine.under_way + self.engine.returning.len() < self.at_once
        {
            if self.engine.conns[self.next].state == State::Closed {
                self.engine.dial(self.next)?;
            }
            self.next += 1;
        }
        self.engine.dial_returning(clock::now())
    }

    /// Whether something is to be told, or has gone wrong.
    fn watch(&mut self) -> anyhow::Result<()> {
        let now = clock::now();
        let settled = self.engine.under_way == 0 && self.engine.returning.is_empty();
        if self.opening && self.next == self.engine.conns.len() && settled {
            self.opening = false;
            self.preparing = true;
            self.scenario.prepare(&mut self.engine)?;
        }
        if self.preparing && self.scenario.is_prepared() {
            self.preparing = false;
            tell(&Word::Open(self.engine.ready as u32))?;
            tell(&Word::Ready)?;
        }
        if self.let_in != self.engine.ready {
            (self.let_in, self.let_in_at) = (self.engine.ready, now);
        }
        if self.opening && now > self.let_in_at + STUCK {
            let waiting = self.engine.under_way + self.engine.returning.len();
            bail!("{waiting} logins wait, and nobody was let in for {} s", STUCK / SECOND);
        }
        if let Some(since) = self.stopping {
            match self.scenario.missing() {
                None => {
                    self.stopping = None;
                    let tally = std::mem::take(&mut self.scenario.book().tally);
                    tell(&Word::Tally(Box::new(tally)))?;
                }
                Some(missing) if now > since + TAIL => bail!("lost: {missing} after {} s", TAIL / SECOND),
                Some(_) => {}
            }
        }
        if now > self.told_at + TELL_EVERY {
            self.told_at = now;
            match &self.reaching {
                Some(reaching) => tell(&Word::Open(reaching.count))?,
                None if self.opening || self.preparing => tell(&Word::Open(self.engine.ready as u32))?,
                None => {}
            }
        }
        self.reach(now)?;
        self.refresh(now)
    }

    /// Tells when everybody is reached.
    fn reach(&mut self, now: u64) -> anyhow::Result<()> {
        let (Some(reaching), Some((reached, all))) = (&mut self.reaching, self.scenario.reached()) else {
            return Ok(());
        };
        if reached == all {
            self.reaching = None;
            return tell(&Word::Reached);
        }
        if reached > reaching.count {
            *reaching = Reaching { count: reached, since: now };
        }
        ensure!(
            now < reaching.since + TAIL,
            "lost: {} of {all} devices were not reached, the last one {} s ago",
            all - reached,
            TAIL / SECOND
        );
        Ok(())
    }

    /// Acknowledges what few messages came, and shows signs of life.
    fn refresh(&mut self, now: u64) -> anyhow::Result<()> {
        if now > self.refreshed_at + REFRESH_EVERY {
            self.refreshed_at = now;
            self.refreshed += 1;
            for at in 0..self.engine.conns.len() {
                let alive = (self.refreshed + at as u64).is_multiple_of(ALIVE_EVERY);
                self.engine.refresh(at, alive)?;
            }
        }
        Ok(())
    }
}

/// Lines of stdin, read past any buffer that a poll would not see.
#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
}

impl Lines {
    /// Waits for what comes next; false at the end.
    fn read(&mut self) -> anyhow::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(std::io::stdin(), &mut bytes[..]))?;
        self.bytes.extend_from_slice(&bytes[..length]);
        Ok(length > 0)
    }

    /// The next line, if it is whole.
    fn next(&mut self) -> Option<Vec<u8>> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        let rest = self.bytes.split_off(end + 1);
        Some(std::mem::replace(&mut self.bytes, rest))
    }
}

fn tell(word: &Word) -> anyhow::Result<()> {
    let mut line = serde_json::to_string(word)?;
    line.push('\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes())?;
    Ok(stdout.flush()?)
}
