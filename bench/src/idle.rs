//! `bench idle`: what an idle connection costs the gateway.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use futures::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};

use crate::process;
use crate::server::{Server, ServerArgs};
use crate::wire::{Device, Transport};

/// Connections opened and kept before measuring starts, so that what is allocated once is not counted per connection.
const WARM_UP: usize = 500;
/// Logins under way at once.
const LOGINS: usize = 64;
/// Time for the gateway to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(3);

#[derive(Args)]
pub struct Idle {
    /// How many connections, beside a warm-up of 500
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Transport,
    #[command(flatten)]
    server: ServerArgs,
}

impl Idle {
    pub async fn run(self) -> anyhow::Result<()> {
        let all = 0..WARM_UP + self.connections;
        // The first login of a device is stored. What the store keeps in memory for that is not the connection's:
        // every device logs in once, and a fresh process is measured.
        let mut server = Server::start(&self.server).await?;
        drop(open(&server, self.transport, all).await?);
        server.restart().await?;
        let base = process::anonymous_bytes(server.pid())?;
        let warm = open(&server, self.transport, 0..WARM_UP).await?;
        tokio::time::sleep(REST).await;
        let before = process::anonymous_bytes(server.pid())?;
        let cpu = process::processor_time(server.pid())?;
        let started = Instant::now();
        let devices = open(&server, self.transport, WARM_UP..WARM_UP + self.connections).await?;
        let took = started.elapsed();
        let cpu = process::processor_time(server.pid())? - cpu;
        tokio::time::sleep(REST).await;
        let after = process::anonymous_bytes(server.pid())?;
        if after < before {
            bail!("the gateway's memory fell while connections were added");
        }
        let each = (after - before) as f64 / self.connections as f64;
        println!("idle connections      {} over {}", devices.len(), self.transport.name());
        println!("gateway at start      {:.1} MiB", base as f64 / 1_048_576.0);
        println!(
            "gateway before, after {:.1} MiB, {:.1} MiB",
            before as f64 / 1_048_576.0,
            after as f64 / 1_048_576.0
        );
        println!("per connection        {each:.0} B ({:.2} KiB)", each / 1024.0);
        println!("logins                {:.0}/s", self.connections as f64 / took.as_secs_f64());
        println!("gateway CPU per login {:.1} µs", cpu.as_secs_f64() * 1e6 / self.connections as f64);
        drop((warm, devices));
        Ok(())
    }
}

async fn open(
    server: &Server,
    transport: Transport,
    numbers: std::ops::Range<usize>,
) -> anyhow::Result<Vec<Device>> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} connections, {per_sec}")?;
    let progress = ProgressBar::new(numbers.len() as u64).with_style(style);
    let mut devices = Vec::with_capacity(numbers.len());
    // Both ends need one each; the gateway keeps 256 back.
    let enough = numbers.end + 1_000;
    let logins = numbers.map(|n| async move { Device::log_in(server, transport, &format!("u{n}")).await });
    let mut logins = futures::stream::iter(logins).buffer_unordered(LOGINS);
    while let Some(device) = logins.next().await {
        let opened = devices.len();
        devices.push(device.with_context(|| {
            format!(
                "after {opened} connections; if the limit on open files is too small, raise it (ulimit -n {enough}) or \
                 take fewer --connections"
            )
        })?);
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(devices)
}
