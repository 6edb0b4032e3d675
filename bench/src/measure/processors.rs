//! Who runs on which processor.

use std::process::{Child, Command};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How many processors this process may use.
pub fn count() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Keeps the calling thread on one processor.
///
/// # Errors
/// If there is no such processor, or it may not be used.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    anyhow::ensure!(cpu < CpuSet::MAX_CPU, "there is no processor {cpu}");
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on processor {cpu}"))
}

/// Starts a program that stays on one processor, if one is named. A program inherits where the thread runs that starts
/// it, so no thread of it is ever elsewhere.
pub fn spawn_on(cpu: Option<usize>, command: &mut Command) -> anyhow::Result<Child> {
    let Some(cpu) = cpu else { return Ok(command.spawn()?) };
    let before = sched_getaffinity(None)?;
    pin(cpu)?;
    let child = command.spawn();
    sched_setaffinity(None, &before)?;
    Ok(child?)
}
