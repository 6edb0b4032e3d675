//! `bench idle --unacked`: what an idle connection costs the gateway with pushes that it has not acknowledged.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use super::repeat::REPEATED_AFTER;
use super::traffic::Idle;
use crate::fleet;
use crate::group::Group;
use crate::load::plan::Transport;
use crate::measure::process::anonymous_bytes;
use crate::server::Server;
use crate::wire::Device;
use crate::work::{FELL, FIRST_PART};

/// Time for the gateway to come to rest before its memory is read.
const REST: Duration = Duration::from_secs(3);

/// One measurement.
struct Unacked {
    connections: usize,
    pushes: usize,
    bytes: usize,
    transport: Transport,
}

/// Runs it on a gateway of its own.
pub fn run(idle: &Idle) -> anyhow::Result<()> {
    let unacked = Unacked {
        connections: idle.connections as usize,
        pushes: idle.unacked,
        bytes: idle.common.settings.bytes,
        transport: idle.common.transport,
    };
    ensure!(!unacked.transport.is_secure(), "--unacked works over tcp and websocket only");
    let target = &idle.common.settings.target;
    ensure!(target.servers.is_empty(), "--unacked needs a gateway of its own, not --server");
    let server = Server::start(&target.own, false, target.server_cpu())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(unacked.run(server))
}

impl Unacked {
    async fn run(self, mut server: Server) -> anyhow::Result<()> {
        let (all, kept) = (0..self.connections, self.connections / FIRST_PART as usize);
        // The first login of a device is stored. What the store keeps in memory for that is not the connection's:
        // every device logs in once, and a fresh process is measured.
        drop(fleet::open(&server.access, self.transport, all.clone()).await?);
        server.restart()?;
        let access = server.access.clone();
        let group = Group::create(&access, all.len()).await?;
        let mut devices = Vec::new();
        for part in [0..kept / 2, kept / 2..kept] {
            devices.extend(fleet::open(&access, self.transport, part).await?);
            tokio::time::sleep(REST).await;
        }
        let before = bytes(&server)?;
        devices.extend(fleet::open(&access, self.transport, kept..self.connections).await?);
        tokio::time::sleep(REST).await;
        let after = bytes(&server)?;
        ensure!(after > before, "{FELL}");
        let each = (after - before) as f64 / (self.connections - kept) as f64;
        println!("{:22} {} over {}", "idle connections", self.connections, self.transport.name());
        println!("{:22} {each:.0} B", "per connection");
        self.unacknowledged(&server, group, &mut devices, each).await
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
        let before = bytes(server)?;
        let began = Instant::now();
        for _ in 0..self.pushes {
            group.say(self.bytes, true).await?;
            hear(devices).await?;
        }
        tokio::time::sleep(REST).await;
        let after = bytes(server)?;
        ensure!(
            began.elapsed() < REPEATED_AFTER,
            "the gateway has begun to repeat: take fewer --connections"
        );
        let more = after.saturating_sub(before) as f64 / devices.len() as f64;
        println!("{:22} {} pushes of {} B to each connection", "unacknowledged", self.pushes, self.bytes);
        println!("{:22} {:.0} B with them, {more:.0} B more", "per connection", each + more);
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

fn bytes(server: &Server) -> anyhow::Result<u64> {
    server.pids().into_iter().map(anonymous_bytes).sum()
}
