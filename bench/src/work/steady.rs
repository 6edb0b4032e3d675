//! Traffic over a time, in phases: ramp, warm-up, measuring, and a cool-down in which everything under way has to come.

use std::time::Duration;

use super::{Load, Settings, Work};
use crate::ceiling::process::{self, Running};
use crate::group;
use crate::load::crew::Crew;
use crate::load::order::Order;
use crate::load::plan::{Crowd, Deed, Part, Plan};
use crate::load::tally::Tally;
use crate::measure::cost::{Cost, Since};
use crate::measure::figures::{Figures, name};
use crate::measure::process::anonymous_bytes;
use crate::target::{Target, Who};

/// Logins under way at once.
const LOGINS: usize = 64;

/// Fan-out, a stream, pairs, scribes or readers.
pub fn perform(work: &Work, settings: &Settings) -> anyhow::Result<Figures> {
    let target = start(work, settings)?;
    let plan = plan(work, settings, &target)?;
    let empty = memory(&target);
    let mut crew = Crew::start(&plan)?;
    crew.tell(Order::Go)?;
    crew.pass("warm-up", work.warm_up.unwrap_or(Duration::from_secs_f64(settings.warm_up)))?;
    let load = crew.pids();
    let since = Since::now(&target, &load)?;
    crew.tell(Order::Measure)?;
    crew.pass("measure", Duration::from_secs_f64(settings.seconds))?;
    let cost = since.until_now(&target, &load)?;
    let full = memory(&target);
    let tally = crew.stop()?;
    let mut figures = figures(&tally, &cost, work);
    if let (Load::Fanout { .. }, Some(empty), Some(full)) = (&work.load, empty, full) {
        figures.set("server_bytes", full.saturating_sub(empty) as f64);
    }
    Ok(figures)
}

/// Appends to a file beside the store.
pub fn append(batch: u32, settings: &Settings) -> anyhow::Result<Figures> {
    let directory = settings.target.own.data.clone().unwrap_or_else(std::env::temp_dir);
    let (batch, cpu) = (batch.max(1) as usize, settings.target.server_cpu());
    let appended = process::append(&directory, settings.bytes, batch, settings.seconds, cpu)?;
    let mut figures = Figures::default();
    figures.set(name::ENTRIES, batch as f64);
    figures.set(name::PER_SECOND, appended.records_per_second);
    figures.set(name::CPU, appended.cpu_us);
    figures.set(name::P50, appended.commit_p50_us);
    figures.set(name::P99, appended.commit_p99_us);
    Ok(figures)
}

/// Whoever takes the load.
pub fn start(work: &Work, settings: &Settings) -> anyhow::Result<Target> {
    match (work.who, &work.load) {
        (Who::Ours, _) => settings.target.gateway(work.transport),
        (Who::Ceiling, Load::Stream { listeners, batch }) => {
            let bytes = settings.bytes;
            let words = format!("stream --bytes {bytes} --batch {batch} --listeners {listeners}");
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            Ok(Target::Ceiling(Running::start(&words, settings.target.server_cpu())?))
        }
        (who, _) => Target::other(who, settings.bytes, &settings.target),
    }
}

fn plan(work: &Work, settings: &Settings, target: &Target) -> anyhow::Result<Plan> {
    let crowd = |part, first, count| Crowd { part, first, count };
    let (crowds, deed, members) = match work.load {
        Load::Fanout { listeners, idle, stalled, pace, stored } => {
            let mut crowds = vec![crowd(Part::Speaker, 0, 1), crowd(Part::Listener, 0, listeners)];
            crowds.push(crowd(Part::Stalled, listeners, stalled));
            crowds.push(crowd(Part::Idle, listeners + stalled, idle));
            (crowds, Deed::Fanout { pace, stored }, listeners + stalled)
        }
        Load::Stream { listeners, batch } => {
            (vec![crowd(Part::Listener, 0, listeners)], Deed::Listen { batch }, 0)
        }
        Load::Pairs { pairs, pace, stored, acked } => {
            let crowds = vec![crowd(Part::Sender, 0, pairs), crowd(Part::Receiver, 0, pairs)];
            (crowds, Deed::Pairs { pace, stored, accepted: acked }, 0)
        }
        Load::Scribes { scribes, conversations, in_flight } => {
            let deed = Deed::Scribes { in_flight, conversations: (conversations / scribes).max(1) };
            (vec![crowd(Part::Scribe, 0, scribes)], deed, 0)
        }
        Load::Read { readers, messages, page, pace } => {
            (vec![crowd(Part::Reader, 0, readers)], Deed::Read { pace, messages, page }, 0)
        }
        _ => (Vec::new(), Deed::Hold, 0),
    };
    let group = match (work.who, members) {
        (Who::Ours, 1..) => group::create(target.access()?, work.transport, members as usize)?,
        _ => String::new(),
    };
    Ok(Plan {
        speech: target.speech(work.transport, &group, work.qos),
        addresses: target.addresses(work.transport),
        crowds,
        deed,
        bytes: settings.bytes,
        at_once: LOGINS,
        cpu: settings.target.load_cpu(),
    })
}

/// Anonymous bytes of its processes, where they are known.
pub fn memory(target: &Target) -> Option<u64> {
    let pids = target.pids();
    match pids.is_empty() {
        true => None,
        false => pids.iter().map(|pid| anonymous_bytes(*pid).ok()).sum(),
    }
}

fn figures(tally: &Tally, cost: &Cost, work: &Work) -> Figures {
    let mut figures = Figures::default();
    let (count, latency) = match work.load {
        Load::Scribes { .. } => (tally.accepted, &tally.answer),
        Load::Read { .. } => (tally.reads, &tally.answer),
        _ => (tally.deliveries, &tally.delivery),
    };
    figures.set(name::SECONDS, cost.seconds);
    figures.set(name::PER_SECOND, count as f64 / cost.seconds);
    figures.set_if(name::CPU, cost.cpu.map(|cpu| cpu * 1e6 / count.max(1) as f64));
    if latency.count() > 0 && !matches!(work.load, Load::Stream { .. }) {
        figures.set(name::P50, latency.quantile(0.5));
        figures.set(name::P99, latency.quantile(0.99));
        figures.set(name::MAX, latency.max());
    }
    if tally.accepted > 0 && !matches!(work.load, Load::Scribes { .. }) {
        figures.set(name::ACCEPTED, tally.accepted as f64 / cost.seconds);
        figures.set(name::ANSWER_P50, tally.answer.quantile(0.5));
        figures.set(name::ANSWER_P99, tally.answer.quantile(0.99));
    }
    figures.set(name::REPEATED, tally.repeated as f64);
    figures.set(name::PULLED, tally.pulled as f64);
    let links = cost.risen("link_bytes_out_total").filter(|bytes| *bytes > 0.0);
    figures.set_if(name::LINK_BYTES, links.map(|bytes| bytes / count.max(1) as f64));
    shared(&mut figures, cost);
    figures
}

/// What every run tells: how busy others were, and what the gateway counted.
pub fn shared(figures: &mut Figures, cost: &Cost) {
    figures.set(name::OTHERS, cost.others * 100.0);
    let per = |one: &str, other: &str| {
        let (one, other) = (cost.risen(one)?, cost.risen(other)?);
        (other > 0.0).then_some(one / other)
    };
    figures.set_if(name::FRAMES, per("connector_frames_out_total", "connector_writes_total"));
    figures.set_if(name::APPENDS, per("store_appends_total", "store_commits_total"));
    figures.set_if(name::ENTRIES, per("store_entries_total", "store_commits_total"));
}
