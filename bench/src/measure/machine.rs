//! How busy the whole machine is.

use std::time::Duration;

use anyhow::Context as _;

/// Processor time that the machine has spent since it started, on anything.
///
/// # Errors
/// If the system does not tell.
pub fn busy() -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("the system does not tell how busy it is")?;
    let line = stat.lines().find(|line| line.starts_with("cpu ")).context("no line of all processors")?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    Ok(super::process::ticks(busy_ticks(&ticks)))
}

/// user, nice, system, irq, softirq and steal; not idle, not waiting for a disk. Guests are in user already.
fn busy_ticks(ticks: &[u64]) -> u64 {
    [0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum()
}

/// A number of a `/proc` file such as `MemAvailable:  123 kB`, in bytes.
pub fn memory(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_waiting_are_not_busy() {
        assert_eq!(busy_ticks(&[1, 2, 4, 1_000, 1_000, 8, 16, 32, 1_000, 1_000]), 63);
        assert!(busy().unwrap() > Duration::ZERO);
        assert!(memory("MemTotal").unwrap() > 0);
    }
}
