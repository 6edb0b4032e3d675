//! Logins: what they cost, how fast they come, and what a connection holds that does nothing.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::steady::{shared, start};
use super::{Settings, Work};
use crate::ceiling::wire::{Kind, hello};
use crate::group;
use crate::load::crew::Crew;
use crate::load::order::Order;
use crate::load::plan::{Crowd, Deed, Pace, Part, Plan};
use crate::measure::cost::Since;
use crate::measure::figures::{Figures, name};
use crate::measure::process::anonymous_bytes;
use crate::target::Target;

/// Connections opened and kept before measuring starts, so that what is done once is not counted per connection.
pub const WARM_UP: u32 = 500;
/// Of idle connections this part is there before memory is measured, and came in two steps: what starting and the first
/// logins left free is used again or given back by then, and counts for none.
pub const FIRST_PART: u32 = 3;
/// Why there is no such figure.
pub const FELL: &str = "the gateway's memory did not grow while connections were added: too few to tell";
/// Time for the server to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(3);
/// Logins under way at once, in ordinary times and in a storm.
const LOGINS: usize = 64;
const STORM: usize = 1_024;
/// Messages a second that are said to all during a storm.
const SAID: f64 = 5.0;

/// Bytes of each idle connection.
pub fn idle(work: &Work, connections: u32, settings: &Settings) -> anyhow::Result<Figures> {
    let mut target = start(work, settings)?;
    known(&target)?;
    acquaint(&mut target, work, settings, connections)?;
    let kept = connections / FIRST_PART;
    let connections = connections - kept;
    let mut first = Vec::new();
    for (from, to) in [(0, kept / 2), (kept / 2, kept)] {
        first.push(Crew::start(&plan(work, settings, &target, from, to - from))?);
        std::thread::sleep(REST);
    }
    let before = bytes(&target)?;
    let mut crew = Crew::gather(&plan(work, settings, &target, kept, connections))?;
    let load: Vec<u32> = first.iter().chain([&crew]).flat_map(Crew::pids).collect();
    let since = Since::now(&target, &load)?;
    let took = crew.open(false)?;
    let cost = since.until_now(&target, &load)?;
    crew.pass("rest", REST)?;
    let after = bytes(&target)?;
    // A bare socket holds nothing of its process, and few of them may show as nothing.
    ensure!(after > before || matches!(target, Target::Ceiling(_)), "{FELL}");
    let mut figures = Figures::default();
    figures.set(name::BYTES, after.saturating_sub(before) as f64 / f64::from(connections));
    figures.set(name::PER_SECOND, f64::from(connections) / took.as_secs_f64());
    figures.set_if(name::CPU, cost.cpu.map(|cpu| cpu * 1e6 / f64::from(connections)));
    shared(&mut figures, &cost);
    Ok(figures)
}

/// Processor time of a login and, of the gateway, of a resumption.
pub fn logins(work: &Work, connections: u32, settings: &Settings) -> anyhow::Result<Figures> {
    let mut target = start(work, settings)?;
    acquaint(&mut target, work, settings, WARM_UP + connections)?;
    let first = Crew::start(&plan(work, settings, &target, 0, WARM_UP))?;
    let mut crew = Crew::gather(&plan(work, settings, &target, WARM_UP, connections))?;
    let load = [first.pids(), crew.pids()].concat();
    let since = Since::now(&target, &load)?;
    let took = crew.open(false)?;
    let cost = since.until_now(&target, &load)?;
    let mut figures = Figures::default();
    figures.set(name::PER_SECOND, f64::from(connections) / took.as_secs_f64());
    figures.set_if(name::CPU, cost.cpu.map(|cpu| cpu * 1e6 / f64::from(connections)));
    shared(&mut figures, &cost);
    if target.access().is_ok() {
        crew.tell(Order::Cut)?;
        // What the ends of the old connections cost is not a login's.
        crew.pass("rest", Duration::from_secs(1))?;
        let since = Since::now(&target, &load)?;
        crew.open(true)?;
        let cost = since.until_now(&target, &load)?;
        let resumed = crew.stop()?.resumed;
        figures.set(name::RESUMED, resumed as f64);
        if resumed == u64::from(connections) {
            figures.set_if(name::RESUME_CPU, cost.cpu.map(|cpu| cpu * 1e6 / f64::from(connections)));
        }
    }
    Ok(figures)
}

/// Everybody's connection is cut, everybody comes back at once, and nobody may miss what is said meanwhile.
pub fn storm(work: &Work, devices: u32, settings: &Settings) -> anyhow::Result<Figures> {
    let target = start(work, settings)?;
    let group = group::create(target.access()?, work.transport, devices as usize)?;
    let speaker = Crowd { part: Part::Speaker, first: 0, count: 1 };
    let listeners = Crowd { part: Part::Listener, first: 0, count: devices };
    let mut plan = plan(work, settings, &target, 0, devices);
    plan.speech = target.speech(work.transport, &group, 0);
    plan.crowds = vec![speaker, listeners];
    plan.deed = Deed::Fanout { pace: Pace::Rate(SAID), stored: true };
    plan.at_once = STORM;
    let mut crew = Crew::start(&plan)?;
    crew.tell(Order::Go)?;
    crew.pass("warm-up", Duration::from_secs_f64(settings.warm_up))?;
    let load = crew.pids();
    crew.tell(Order::Measure)?;
    let since = Since::now(&target, &load)?;
    crew.tell(Order::Cut)?;
    let took = crew.open(true)?;
    let cost = since.until_now(&target, &load)?;
    let tally = crew.stop()?;
    let mut figures = Figures::default();
    figures.set(name::PER_SECOND, f64::from(devices) / took.as_secs_f64());
    figures.set(name::SECONDS, took.as_secs_f64());
    figures.set_if(name::CPU, cost.cpu.map(|cpu| cpu * 1e6 / f64::from(devices)));
    figures.set(name::RESUMED, tally.resumed as f64);
    figures.set(name::SENT_AWAY, tally.sent_away as f64);
    figures.set(name::PULLED, tally.pulled as f64);
    figures.set(name::P50, tally.delivery.quantile(0.5));
    figures.set(name::MAX, tally.delivery.max());
    shared(&mut figures, &cost);
    Ok(figures)
}

/// Bare connections a second.
pub fn accepts(work: &Work, connections: u32, settings: &Settings) -> anyhow::Result<Figures> {
    let target = start(work, settings)?;
    let Target::Ceiling(ceiling) = &target else { bail!("bare accepts are the ceiling's") };
    let mut plan = plan(work, settings, &target, 0, connections);
    plan.at_once = STORM;
    let mut crew = Crew::gather(&plan)?;
    let load = crew.pids();
    let since = Since::now(&target, &load)?;
    let began = Instant::now();
    crew.open(false)?;
    // Who connects last is accepted last: its answer says that all before it were.
    let mut last = TcpStream::connect(ceiling.address)?;
    last.write_all(&hello(Kind::Idle, 0))?;
    last.read_exact(&mut [0])?;
    let took = began.elapsed();
    let cost = since.until_now(&target, &load)?;
    let mut figures = Figures::default();
    figures.set(name::PER_SECOND, f64::from(connections) / took.as_secs_f64());
    figures.set_if(name::CPU, cost.cpu.map(|cpu| cpu * 1e6 / f64::from(connections)));
    shared(&mut figures, &cost);
    Ok(figures)
}

/// The first login of a device is stored, and what the store keeps in memory for that is not the connection's: every
/// device logs in once, and a fresh process is measured.
fn acquaint(target: &mut Target, work: &Work, settings: &Settings, connections: u32) -> anyhow::Result<()> {
    if matches!(target, Target::Own(_)) {
        drop(Crew::start(&plan(work, settings, target, 0, connections))?);
    }
    match target {
        Target::Own(server) => server.restart(),
        _ => Ok(()),
    }
}

/// Idle devices, numbered from `first` on.
pub fn plan(work: &Work, settings: &Settings, target: &Target, first: u32, count: u32) -> Plan {
    Plan {
        speech: target.speech(work.transport, "", work.qos),
        addresses: target.addresses(work.transport),
        crowds: vec![Crowd { part: Part::Idle, first, count }],
        deed: Deed::Hold,
        bytes: settings.bytes,
        at_once: LOGINS,
        cpu: settings.target.load_cpu(),
    }
}

fn known(target: &Target) -> anyhow::Result<Vec<u32>> {
    let pids = target.pids();
    ensure!(!pids.is_empty(), "the memory of a server is told where its --server-pid is known");
    Ok(pids)
}

fn bytes(target: &Target) -> anyhow::Result<u64> {
    known(target)?
        .iter()
        .map(|pid| anonymous_bytes(*pid))
        .sum::<anyhow::Result<u64>>()
        .context("no memory is told")
}
