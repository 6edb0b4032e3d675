//! Appends to a file, so many an fsync: what a log must do that promises to keep what it has taken.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::load::tally::Latency;
use crate::measure::process::processor_time;

/// The file starts again from the front after so many bytes.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// In front of a record: length, number and checksum.
const HEAD_BYTES: usize = 20;

/// What the appends came to.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Appended {
    pub records_per_second: f64,
    /// Processor time of one record, in microseconds.
    pub cpu_us: f64,
    /// From a batch's first byte to the end of its fsync, in microseconds.
    pub commit_p50_us: f64,
    pub commit_p99_us: f64,
}

pub fn run(directory: &Path, bytes: usize, batch: usize, seconds: f64) -> anyhow::Result<Appended> {
    let file =
        tempfile::tempfile_in(directory).with_context(|| format!("no file in {}", directory.display()))?;
    // Blocks that have to be found while it is written would be counted as writing.
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, MOST_BYTES)?;
    file.sync_all()?;
    let mut writer = Writer { file, at: 0, number: 0, payload: vec![b'x'; bytes], batch: Vec::new() };
    writer.commit(batch)?;
    let (mut commits, cpu, began) = (Latency::default(), processor_time(std::process::id())?, Instant::now());
    let first = writer.number;
    while began.elapsed() < Duration::from_secs_f64(seconds) {
        let start = Instant::now();
        writer.commit(batch)?;
        commits.record(start.elapsed().as_nanos() as u64);
    }
    let (records, took) = ((writer.number - first) as f64, began.elapsed());
    let cpu = processor_time(std::process::id())? - cpu;
    Ok(Appended {
        records_per_second: records / took.as_secs_f64(),
        cpu_us: cpu.as_secs_f64() * 1e6 / records,
        commit_p50_us: commits.quantile(0.5),
        commit_p99_us: commits.quantile(0.99),
    })
}

struct Writer {
    file: File,
    at: u64,
    number: u64,
    payload: Vec<u8>,
    batch: Vec<u8>,
}

impl Writer {
    fn commit(&mut self, records: usize) -> anyhow::Result<()> {
        self.batch.clear();
        for _ in 0..records {
            self.number += 1;
            let start = self.batch.len();
            self.batch.extend_from_slice(&(self.payload.len() as u32).to_be_bytes());
            self.batch.extend_from_slice(&self.number.to_be_bytes());
            self.batch.extend_from_slice(&[0; 8]);
            self.batch.extend_from_slice(&self.payload);
            let sum = xxh3_64(&self.batch[start..]);
            self.batch[start + HEAD_BYTES - 8..start + HEAD_BYTES].copy_from_slice(&sum.to_be_bytes());
        }
        if self.at + self.batch.len() as u64 > MOST_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(&self.batch, self.at)?;
        self.at += self.batch.len() as u64;
        Ok(self.file.sync_data()?)
    }
}
