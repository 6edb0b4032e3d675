//! What a running process uses, as the system counts it.

use std::time::{Duration, Instant};

/// Ticks in a second, everywhere Linux runs today.
const TICKS: f64 = 100.0;

/// The share of one processor a process takes over a time, in percent.
pub async fn cpu_percent(pid: u32, over: Duration) -> f64 {
    let (started, before) = (Instant::now(), cpu_seconds(pid));
    tokio::time::sleep(over).await;
    100.0 * (cpu_seconds(pid) - before) / started.elapsed().as_secs_f64()
}

fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in parentheses may hold spaces; utime and stime are the 14th and 15th field.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12].iter().map(|&at: &usize| fields[at].parse::<f64>().unwrap()).sum::<f64>() / TICKS
}

/// Open file descriptors.
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// TCP connections of a process's network to a local port that neither side has begun to close.
pub fn established(pid: u32, port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let port = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|local| local.ends_with(&port)) && fields.get(3) == Some(&ESTABLISHED)
    };
    table.lines().skip(1).filter(is_one).count()
}

/// The limit of this process on file descriptors.
pub fn file_limit() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}
