//! Many devices stay for long, and then each is told something.

use std::time::Duration;

use super::arrival::plan;
use super::steady::{memory, shared, start};
use super::{Settings, Work};
use crate::load::crew::{Crew, PER_PROCESS};
use crate::load::order::Order;
use crate::load::plan::{Crowd, Deed, Part};
use crate::measure::cost::Since;
use crate::measure::figures::{Figures, name};
use crate::measure::machine::{Peak, memory_in_use};
use crate::measure::process::anonymous_bytes;

/// Logins under way at once, of all processes of the generator: fewer than a channel node takes.
const LOGINS: u32 = 768;
/// Calls under way at once, in each process of the generator.
const IN_FLIGHT: u32 = 16;

/// What the whole machine holds meanwhile, and whether everybody is reached.
pub fn perform(work: &Work, devices: u32, hold: Duration, settings: &Settings) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    figures.set_if(name::IN_USE_BEFORE, memory_in_use().map(|bytes| bytes as f64));
    let peak = Peak::watch()?;
    let target = start(work, settings)?;
    let empty = memory(&target);
    let mut plan = plan(work, settings, &target, 0, devices);
    plan.crowds.insert(0, Crowd { part: Part::Caller, first: 0, count: 1 });
    plan.deed = Deed::Call { in_flight: IN_FLIGHT };
    plan.at_once = (LOGINS / devices.div_ceil(PER_PROCESS).max(1)) as usize;
    let mut crew = Crew::gather(&plan)?;
    let load = crew.pids();
    let since = Since::now(&target, &load)?;
    let took = crew.open(false)?;
    let logins = since.until_now(&target, &load)?;
    let since = Since::now(&target, &load)?;
    crew.pass("heartbeats", hold)?;
    let held = memory(&target);
    let loads: Option<u64> = load.iter().map(|pid| anonymous_bytes(*pid).ok()).sum();
    crew.tell(Order::Measure)?;
    let reach = crew.reach()?;
    let cost = since.until_now(&target, &load)?;
    let tally = crew.stop()?;
    let each = |bytes: u64| bytes as f64 / f64::from(devices);
    figures.set(name::PER_SECOND, f64::from(devices) / took.as_secs_f64());
    figures.set_if(name::CPU, logins.cpu.map(|cpu| cpu * 1e6 / f64::from(devices)));
    figures.set_if(name::BYTES, empty.zip(held).map(|(empty, held)| each(held.saturating_sub(empty))));
    figures.set_if(name::LOAD_BYTES, loads.map(each));
    figures.set(name::SECONDS, hold.as_secs_f64());
    figures.set(name::REACH_SECONDS, reach.as_secs_f64());
    figures.set(name::P50, tally.delivery.quantile(0.5));
    figures.set(name::P99, tally.delivery.quantile(0.99));
    figures.set(name::REPEATED, tally.repeated as f64);
    shared(&mut figures, &cost);
    figures.set(name::IN_USE, peak.bytes() as f64);
    Ok(figures)
}
