//! `bench doctor`: what this machine can hold, and what to change.

use std::net::TcpListener;
use std::path::PathBuf;

use clap::Args;

use crate::ceiling::process;
use crate::load::crew::PER_PROCESS;
use crate::measure::descriptors::{SERVER_SPARE, advice, limits};
use crate::measure::{machine, processors};
use crate::peers;

/// A connection's bytes in the system, both ends on this machine, and in a gateway and a generator.
const BYTES_OF_A_PAIR: u64 = 13 * 1024;
/// A commit that takes longer than this many microseconds makes every stored message wait.
const SLOW_COMMIT_US: f64 = 2_000.0;
/// The gateway's listen backlog is cut to what the system allows.
const BACKLOG: u64 = 4_096;

#[derive(Args, Clone, Debug)]
pub struct Doctor {
    /// Connections that you want
    #[arg(long, default_value_t = 15_000)]
    connections: u64,
    /// Directory for the store; the disk that is looked at [default: the system's temporary directory]
    #[arg(long)]
    data: Option<PathBuf>,
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    found: String,
    advice: Option<String>,
}

impl Doctor {
    /// Prints what it finds.
    ///
    /// # Errors
    /// If this machine cannot hold so many connections as it is.
    pub fn run(self) -> anyhow::Result<()> {
        let findings = [
            self.descriptors(),
            self.ports(),
            processors_found(),
            self.memory(),
            backlog(),
            self.store()?,
            peer("mosquitto"),
            peer("nats-server"),
        ];
        for Finding { what, found, advice } in &findings {
            let mark = if advice.is_some() { "!" } else { " " };
            println!("{mark} {what:12} {found}");
            if let Some(advice) = advice {
                println!("  {:12} -> {advice}", "");
            }
        }
        let held = self.held();
        println!("\nThis machine as it is holds {held} connections of one gateway with the load on it.");
        anyhow::ensure!(
            held >= self.connections,
            "it does not hold {}: do what is marked with ! above, or take fewer --connections",
            self.connections
        );
        Ok(())
    }

    /// How many connections descriptors, ports and memory leave.
    fn held(&self) -> u64 {
        let descriptors = limits().1.saturating_sub(SERVER_SPARE);
        let memory = machine::memory("MemAvailable").unwrap_or(u64::MAX) / BYTES_OF_A_PAIR;
        descriptors.min(memory)
    }

    fn descriptors(&self) -> Finding {
        let (soft, hard) = limits();
        let advice = (hard < self.connections + SERVER_SPARE).then(|| advice(self.connections));
        let found =
            format!("{soft} now, {hard} at most in one process; a generator process holds {PER_PROCESS}");
        Finding { what: "descriptors", found, advice }
    }

    fn ports(&self) -> Finding {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
        let ports: Vec<u64> = range.split_whitespace().filter_map(|port| port.parse().ok()).collect();
        let count = match ports[..] {
            [first, last] => last.saturating_sub(first) + 1,
            _ => 0,
        };
        let found = format!(
            "{count} local ports for each address; above 8,000 connections the load takes more of 127/8"
        );
        let advice = (count < 10_000).then(|| "sysctl -w net.ipv4.ip_local_port_range='16384 65535'".into());
        Finding { what: "ports", found, advice }
    }

    fn memory(&self) -> Finding {
        let (all, free) = (machine::memory("MemTotal"), machine::memory("MemAvailable"));
        let gib = |bytes: Option<u64>| bytes.unwrap_or_default() as f64 / (1u64 << 30) as f64;
        let needed = self.connections * BYTES_OF_A_PAIR;
        let advice = (free.unwrap_or(u64::MAX) < needed)
            .then(|| format!("{} connections take about {:.1} GiB", self.connections, gib(Some(needed))));
        Finding { what: "memory", found: format!("{:.1} of {:.1} GiB free", gib(free), gib(all)), advice }
    }

    /// Writes to the disk for a moment.
    fn store(&self) -> anyhow::Result<Finding> {
        let directory = self.data.clone().unwrap_or_else(std::env::temp_dir);
        let appended = process::append(&directory, 256, 64, 0.5, None)?;
        let ms = appended.commit_p50_us / 1_000.0;
        let found = format!(
            "{}: 64 messages an fsync, p50 {ms:.2} ms, p99 {:.2} ms, {:.0} messages/s",
            directory.display(),
            appended.commit_p99_us / 1_000.0,
            appended.records_per_second
        );
        let advice = (appended.commit_p50_us > SLOW_COMMIT_US).then(|| {
            "every stored message waits that long for this disk: choose another one with --data, or a quieter time".into()
        });
        Ok(Finding { what: "store", found, advice })
    }
}

fn processors_found() -> Finding {
    let count = processors::count();
    let advice =
        (count < 2).then(|| "with one processor server and load disturb each other: ratios only".into());
    Finding { what: "processors", found: format!("{count}: the server takes 0, the load takes 1"), advice }
}

fn backlog() -> Finding {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    let most: u64 = most.trim().parse().unwrap_or_default();
    let advice = (most < BACKLOG).then(|| {
        format!("in a storm connections wait a second for a place: sysctl -w net.core.somaxconn={BACKLOG}")
    });
    let bound = TcpListener::bind("127.0.0.1:0").is_ok();
    let found =
        format!("{most} connections may wait to be accepted{}", if bound { "" } else { "; no port is free" });
    Finding { what: "backlog", found, advice }
}

fn peer(program: &'static str) -> Finding {
    match peers::find(program) {
        Ok(path) => Finding { what: program, found: path.display().to_string(), advice: None },
        Err(error) => {
            Finding { what: program, found: "not there".into(), advice: Some(format!("for peers: {error}")) }
        }
    }
}
