//! The generator processes, seen from the verb that leads them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::order::{Order, Word};
use super::plan::{Crowd, Deed, Pace, Part, Plan};
use super::tally::Tally;

/// The word of the command line that makes this program a generator process.
pub const WORKER: &str = "__worker";
/// Devices of one process: it may have some 20,000 descriptors.
pub const PER_PROCESS: u32 = 19_000;
/// Words that wait to be heard.
const WORDS: usize = 1_024;
/// How long all of them may say nothing. Each ends by itself where its devices do not get on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Processes that play one plan together.
pub struct Crew {
    workers: Vec<Worker>,
    words: Receiver<(usize, Word)>,
    devices: u32,
    bar: ProgressBar,
}

struct Worker {
    child: Child,
    stdin: ChildStdin,
    open: u32,
}

impl Crew {
    /// Starts as many processes as the plan's devices need, and has everybody log in.
    ///
    /// # Errors
    /// If a process cannot be started, a device cannot log in, or the server ends meanwhile.
    pub fn start(plan: &Plan) -> anyhow::Result<Crew> {
        let mut crew = Crew::gather(plan)?;
        crew.open(false)?;
        Ok(crew)
    }

    /// Starts the processes; nobody logs in yet.
    pub fn gather(plan: &Plan) -> anyhow::Result<Crew> {
        let plans = shares(plan)?;
        let (tell, words) = sync_channel(WORDS);
        let style = ProgressStyle::with_template("{msg:10} {bar:40} {pos}/{len} {per_sec}")?;
        let bar = ProgressBar::new(plan.devices().into()).with_style(style).with_message("ramp");
        let mut crew = Crew { workers: Vec::new(), words, devices: plan.devices(), bar };
        for plan in &plans {
            crew.workers.push(Worker::start(plan, crew.workers.len(), tell.clone())?);
        }
        Ok(crew)
    }

    /// Has everybody log in who is not; how long that took.
    pub fn open(&mut self, resume: bool) -> anyhow::Result<Duration> {
        self.bar.reset();
        let began = Instant::now();
        self.tell(Order::Open { resume })?;
        self.hear(|word| matches!(word, Word::Ready))?;
        Ok(began.elapsed())
    }

    pub fn tell(&mut self, order: Order) -> anyhow::Result<()> {
        for worker in &mut self.workers {
            worker.say(&serde_json::to_string(&order)?)?;
        }
        Ok(())
    }

    /// Passes time, with a bar, unless a process says that something is wrong.
    pub fn pass(&mut self, phase: &'static str, time: Duration) -> anyhow::Result<()> {
        let bar = ProgressBar::new(time.as_millis() as u64);
        bar.set_style(ProgressStyle::with_template("{msg:10} {bar:40} {eta}")?);
        bar.set_message(phase);
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            bar.set_position(time.saturating_sub(left).as_millis() as u64);
            match self.words.recv_timeout(left.min(Duration::from_millis(200))) {
                Ok((of, word)) => self.take(of, word)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the generator processes are gone"),
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// Waits until everybody is reached who has to be; how long that took.
    ///
    /// # Errors
    /// If somebody is not.
    pub fn reach(&mut self) -> anyhow::Result<Duration> {
        self.bar.set_message("reach");
        self.bar.reset();
        let began = Instant::now();
        self.tell(Order::Go)?;
        self.hear(|word| matches!(word, Word::Reached))?;
        Ok(began.elapsed())
    }

    /// Ends the traffic, waits until all of it has come, and adds up what was counted.
    ///
    /// # Errors
    /// If something is lost.
    pub fn stop(&mut self) -> anyhow::Result<Tally> {
        self.tell(Order::Stop)?;
        let mut total = Tally::default();
        let tallies = self.hear(|word| matches!(word, Word::Tally(_)))?;
        let mut lasts = Vec::new();
        for word in tallies {
            if let Word::Tally(tally) = word {
                lasts.push(tally.last);
                total.add(&tally);
            }
        }
        if lasts.iter().any(|last| *last != total.last) {
            bail!(
                "lost: the listeners of one process got message {}, those of another {lasts:?}",
                total.last
            );
        }
        Ok(total)
    }

    /// The ids of the processes.
    pub fn pids(&self) -> Vec<u32> {
        self.workers.iter().map(|worker| worker.child.id()).collect()
    }

    /// One word from each process, each such as `awaited` says.
    fn hear(&mut self, awaited: impl Fn(&Word) -> bool) -> anyhow::Result<Vec<Word>> {
        let mut heard: Vec<Option<Word>> = self.workers.iter().map(|_| None).collect();
        while heard.iter().any(Option::is_none) {
            match self.words.recv_timeout(PATIENCE) {
                Ok((of, word)) if awaited(&word) => heard[of] = Some(word),
                Ok((of, word)) => self.take(of, word)?,
                Err(_) => bail!("a generator process says nothing"),
            }
        }
        self.bar.finish_and_clear();
        Ok(heard.into_iter().flatten().collect())
    }

    fn take(&mut self, of: usize, word: Word) -> anyhow::Result<()> {
        match word {
            Word::Open(open) => {
                self.workers[of].open = open;
                self.bar.set_position(self.workers.iter().map(|worker| u64::from(worker.open)).sum());
                Ok(())
            }
            Word::Failed { problem, tally } => {
                self.bar.finish_and_clear();
                let open: u32 = self.workers.iter().map(|worker| worker.open).sum();
                let Tally { deliveries, accepted, reads, .. } = *tally;
                bail!(
                    "{problem}\n({open} of {} devices were logged in; {deliveries} deliveries, {accepted} accepted and \
                     {reads} reads had counted until then)",
                    self.devices
                )
            }
            Word::Ready | Word::Reached | Word::Tally(_) => Ok(()),
        }
    }
}

impl Worker {
    fn start(plan: &Plan, of: usize, tell: SyncSender<(usize, Word)>) -> anyhow::Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WORKER).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot start a generator process")?;
        let stdin = child.stdin.take().context("no stdin")?;
        let stdout = child.stdout.take().context("no stdout")?;
        std::thread::Builder::new().name(format!("crew-{of}")).spawn(move || listen(of, stdout, &tell))?;
        let mut worker = Worker { child, stdin, open: 0 };
        worker.say(&serde_json::to_string(plan)?)?;
        Ok(worker)
    }

    fn say(&mut self, line: &str) -> anyhow::Result<()> {
        // If it is gone, what it said last tells why.
        match writeln!(self.stdin, "{line}") {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Failing means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes on what a process says, and that it says no more.
fn listen(of: usize, stdout: ChildStdout, tell: &SyncSender<(usize, Word)>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let problem = |error| Word::Failed { problem: format!("{error}: {line}"), tally: Box::default() };
        let word = serde_json::from_str(&line).unwrap_or_else(problem);
        if tell.send((of, word)).is_err() {
            return;
        }
    }
    let gone = Word::Failed { problem: "a generator process has ended".into(), tally: Box::default() };
    // Where nobody listens any more, it was ended on purpose.
    let _ = tell.send((of, gone));
}

/// The plan of each process: every crowd is cut into even shares, and the rate with it. Only the first one has speakers;
/// each has as many callers as the plan.
fn shares(plan: &Plan) -> anyhow::Result<Vec<Plan>> {
    let count = plan.devices().div_ceil(PER_PROCESS).max(1);
    if count == 1 {
        return Ok(vec![plan.clone()]);
    }
    if let Deed::Fanout { pace: Pace::InFlight(_), .. } = plan.deed {
        bail!("more than {PER_PROCESS} listeners are spread over processes: give a --rate, not --in-flight");
    }
    let share = |crowd: &Crowd, of: u32| {
        let at = |of: u32| (u64::from(crowd.count) * u64::from(of) / u64::from(count)) as u32;
        Crowd { first: crowd.first + at(of), count: at(of + 1) - at(of), ..*crowd }
    };
    let shared = |of: u32| {
        let mut plan = plan.clone();
        plan.crowds = plan
            .crowds
            .iter()
            .map(|crowd| match crowd.part {
                Part::Speaker if of > 0 => Crowd { count: 0, ..*crowd },
                Part::Speaker => *crowd,
                Part::Caller => Crowd { first: of, ..*crowd },
                _ => share(crowd, of),
            })
            .collect();
        match &mut plan.deed {
            Deed::Pairs { pace: Pace::Rate(rate), .. } | Deed::Read { pace: Pace::Rate(rate), .. } => {
                *rate /= f64::from(count);
            }
            _ => {}
        }
        plan
    };
    Ok((0..count).map(shared).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::Speech;

    #[test]
    fn shares_are_even_and_whole() {
        let crowd = |part, count| Crowd { part, first: 0, count };
        let mut plan = Plan {
            speech: Speech::Bare,
            addresses: Vec::new(),
            crowds: vec![crowd(Part::Speaker, 1), crowd(Part::Listener, 50_000)],
            deed: Deed::Fanout { pace: Pace::Rate(10.0), stored: false },
            bytes: 16,
            at_once: 1,
            cpu: None,
        };
        let parts = shares(&plan).unwrap();
        assert_eq!(parts.iter().map(Plan::devices).collect::<Vec<_>>(), [16_667, 16_667, 16_667]);
        assert_eq!(parts.iter().map(|plan| plan.crowds[1].first).collect::<Vec<_>>(), [0, 16_666, 33_333]);
        plan.deed = Deed::Fanout { pace: Pace::InFlight(1), stored: false };
        assert!(shares(&plan).is_err());
    }
}
