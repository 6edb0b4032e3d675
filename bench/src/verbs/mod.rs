//! The verbs that put one kind of load on one server.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::load::plan::{Pace, Transport};
use crate::report::record::Record;
use crate::target::Who;
use crate::work::{Load, Settings, Work, settled};

pub mod doctor;
mod print;
pub mod repeat;
pub mod traffic;
pub mod unacked;

pub use print::figures as print_figures;

/// What every verb of this kind takes.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// How the gateway's devices connect
    #[arg(long, value_enum, default_value = "tcp")]
    pub transport: Transport,
    /// Do it so often; medians are told
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Phases")]
    pub rounds: u32,
    /// Write the figures of every round to this file, for `bench report`
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
}

/// An open or a closed loop.
#[derive(Args, Clone, Copy, Debug)]
pub struct PaceArgs {
    /// Messages a second in all, whatever comes back; latency counts from when each was due
    #[arg(long, value_name = "N", conflicts_with = "in_flight")]
    rate: Option<f64>,
    /// In place of a rate: so many unanswered, by each sender
    #[arg(long, default_value_t = 1, value_name = "N")]
    in_flight: u32,
}

impl PaceArgs {
    /// # Errors
    /// If the rate is no number that can be kept.
    pub fn pace(self) -> anyhow::Result<Pace> {
        match self.rate {
            Some(rate) if (0.01..=10e6).contains(&rate) => Ok(Pace::Rate(rate)),
            Some(rate) => anyhow::bail!("a rate of {rate} messages a second cannot be kept"),
            None => Ok(Pace::InFlight(self.in_flight.max(1))),
        }
    }
}

impl Common {
    /// Does one kind of work with the gateway, so many rounds, and prints what came of it.
    pub fn run(&self, verb: &str, load: Load) -> anyhow::Result<()> {
        let work = Work { transport: self.transport, ..Work::new(Who::Ours, load) };
        self.rounds_of(&[(verb.to_owned(), work)])
    }

    /// Does several in turn, round by round. What was measured before something went wrong is printed and written all
    /// the same, and marked.
    pub fn rounds_of(&self, works: &[(String, Work)]) -> anyhow::Result<()> {
        let mut record = Record::new();
        let done = self.all_rounds(works, &mut record);
        if let Err(error) = &done {
            record.error = Some(format!("{error:#}"));
        }
        for (label, work) in works {
            print_figures(label, work, &record, &self.settings);
        }
        if let Some(path) = &self.json {
            record.write(path)?;
        }
        done
    }

    fn all_rounds(&self, works: &[(String, Work)], record: &mut Record) -> anyhow::Result<()> {
        let bar = ProgressBar::new(u64::from(self.rounds) * works.len() as u64);
        bar.set_style(ProgressStyle::with_template("round {pos}/{len} {msg}")?);
        for _ in 0..self.rounds.max(1) {
            for (label, work) in works {
                bar.set_message(label.clone());
                let figures = settled::perform(label, work, &self.settings)?;
                record.add(label, figures);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}
