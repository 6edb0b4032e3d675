//! How busy the whole machine is.

use std::time::Duration;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// Memory that is in use on the whole machine: what could not be had by a new process, in bytes.
pub fn memory_in_use() -> Option<u64> {
    Some(memory("MemTotal")?.saturating_sub(memory("MemAvailable")?))
}

/// The most memory in use, looked at every second.
pub struct Peak {
    most: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Peak {
    pub fn watch() -> anyhow::Result<Peak> {
        let peak = Peak { most: Arc::default(), ended: Arc::default() };
        let (most, ended) = (peak.most.clone(), peak.ended.clone());
        let watch = move || {
            while !ended.load(Ordering::Relaxed) {
                most.fetch_max(memory_in_use().unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_secs(1));
            }
        };
        std::thread::Builder::new().name("peak".into()).spawn(watch)?;
        Ok(peak)
    }

    /// Bytes, so far.
    pub fn bytes(&self) -> u64 {
        self.most.load(Ordering::Relaxed).max(memory_in_use().unwrap_or_default())
    }
}

impl Drop for Peak {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
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
