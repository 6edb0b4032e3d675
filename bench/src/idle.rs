//! `bench idle`: what an idle connection costs the gateway, and what it costs with unacknowledged pushes.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use clap::Args;

use crate::fleet;
use crate::group::Group;
use crate::process;
use crate::repeat::REPEATED_AFTER;
use crate::server::{Server, ServerArgs};
use crate::wire::{Device, Transport};

/// Connections opened and kept before measuring starts, so that what is allocated once is not counted per connection.
const WARM_UP: usize = 500;
/// Time for the gateway to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(3);

#[derive(Args)]
pub struct Idle {
    /// How many connections, beside a warm-up of 500
    #[arg(long, default_value_t = 15_000)]
    connections: usize,
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Transport,
    /// Stored pushes that each connection gets and does not acknowledge. Its memory is measured before and after them
    #[arg(long, default_value_t = 0)]
    unacked: usize,
    /// Bytes of content of each of them
    #[arg(long, default_value_t = 256, requires = "unacked")]
    bytes: usize,
    #[command(flatten)]
    server: ServerArgs,
}

impl Idle {
    pub async fn run(self) -> anyhow::Result<()> {
        let all = 0..WARM_UP + self.connections;
        // The first login of a device is stored. What the store keeps in memory for that is not the connection's:
        // every device logs in once, and a fresh process is measured.
        let mut server = Server::start(&self.server).await?;
        drop(fleet::open(&server, self.transport, all.clone()).await?);
        server.restart().await?;
        let group = match self.unacked {
            0 => None,
            _ => Some(Group::create(&server, all.len()).await?),
        };
        let base = process::anonymous_bytes(server.pid())?;
        let mut devices = fleet::open(&server, self.transport, 0..WARM_UP).await?;
        tokio::time::sleep(REST).await;
        let before = process::anonymous_bytes(server.pid())?;
        let cpu = process::processor_time(server.pid())?;
        let started = Instant::now();
        devices.extend(fleet::open(&server, self.transport, WARM_UP..all.end).await?);
        let took = started.elapsed();
        let cpu = process::processor_time(server.pid())? - cpu;
        tokio::time::sleep(REST).await;
        let after = process::anonymous_bytes(server.pid())?;
        if after < before {
            bail!("the gateway's memory fell while connections were added");
        }
        let each = (after - before) as f64 / self.connections as f64;
        println!("idle connections      {} over {}", self.connections, self.transport.name());
        println!("gateway at start      {:.1} MiB", base as f64 / 1_048_576.0);
        println!(
            "gateway before, after {:.1} MiB, {:.1} MiB",
            before as f64 / 1_048_576.0,
            after as f64 / 1_048_576.0
        );
        println!("per connection        {each:.0} B ({:.2} KiB)", each / 1024.0);
        println!("logins                {:.0}/s", self.connections as f64 / took.as_secs_f64());
        println!("gateway CPU per login {:.1} µs", cpu.as_secs_f64() * 1e6 / self.connections as f64);
        match group {
            Some(group) => self.unacknowledged(&server, group, &mut devices, each).await,
            None => Ok(()),
        }
    }

    /// Pushes to everybody and measures by how much the gateway has grown since `each` was measured.
    async fn unacknowledged(
        &self,
        server: &Server,
        mut group: Group,
        devices: &mut [Device],
        each: f64,
    ) -> anyhow::Result<()> {
        // What pushing to so many needs once is allocated now.
        group.say(self.bytes, false).await?;
        hear(devices).await?;
        tokio::time::sleep(REST).await;
        let before = process::anonymous_bytes(server.pid())?;
        let began = Instant::now();
        for _ in 0..self.unacked {
            group.say(self.bytes, true).await?;
            hear(devices).await?;
        }
        tokio::time::sleep(REST).await;
        let after = process::anonymous_bytes(server.pid())?;
        ensure!(
            began.elapsed() < REPEATED_AFTER,
            "the gateway has begun to repeat: take fewer --connections"
        );
        let more = after.saturating_sub(before) as f64 / devices.len() as f64;
        println!("unacknowledged        {} pushes of {} B to each connection", self.unacked, self.bytes);
        println!("per connection        {:.0} B with them, {more:.0} B more", each + more);
        Ok(())
    }
}

/// Waits until each device has got its next message.
async fn hear(devices: &mut [Device]) -> anyhow::Result<()> {
    let all = async {
        for device in devices {
            device.reader.message().await?;
        }
        Ok(())
    };
    match tokio::time::timeout(REPEATED_AFTER, all).await {
        Ok(heard) => heard,
        Err(_) => bail!("not everybody got a push within {REPEATED_AFTER:?}"),
    }
}
