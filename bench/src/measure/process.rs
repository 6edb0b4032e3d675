//! What the operating system says about a process.

use std::time::Duration;

use anyhow::Context as _;

/// Memory of a process that is its own (not shared, not file-backed), in bytes.
pub fn anonymous_bytes(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// Processor time a process has used, in user and system mode together.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    // The second field is the name in parentheses and may hold anything.
    let fields = stat.rsplit(')').next().context("no fields")?.split_whitespace();
    let used: Vec<u64> = fields.skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks(used.iter().sum()))
}

/// What several have used together.
pub fn processor_times(pids: &[u32]) -> anyhow::Result<Duration> {
    pids.iter().map(|pid| processor_time(*pid)).sum()
}

/// Linux reports in hundredths of a second on every architecture.
pub fn ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 10)
}
