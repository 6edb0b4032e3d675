//! `bench chat`: pairs of devices in a closed loop. Each sender keeps a number of messages unacknowledged; its
//! receiver measures when they arrive and that none is missing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use bytes::Bytes;
use clap::Args;
use protocol::v1::{Content, Send, client_frame, server_frame};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::latency::Latency;
use crate::process;
use crate::server::{Server, ServerArgs};
use crate::wire::{Device, Reader, Transport, Writer};

/// What arrives before this much of the run is not counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// Pushes that a receiver acknowledges at once.
const ACK_EVERY: u64 = 64;
/// How long the last deliveries may take.
const TAIL: Duration = Duration::from_secs(10);

#[derive(Args)]
pub struct Chat {
    /// How many pairs of a sender and a receiver
    #[arg(long, default_value_t = 100)]
    pairs: usize,
    /// Messages each sender keeps unacknowledged
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Bytes of content
    #[arg(long, default_value_t = 256)]
    bytes: usize,
    /// Seconds to measure, after 2 s of warm-up
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Deliver without storing
    #[arg(long)]
    no_store: bool,
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Transport,
    #[command(flatten)]
    server: ServerArgs,
}

/// What one pair saw.
struct Seen {
    acks: Latency,
    deliveries: Latency,
}

impl Chat {
    pub async fn run(self) -> anyhow::Result<()> {
        ensure!(self.bytes >= 8, "a message holds the time it was sent: --bytes is at least 8");
        let chat = Arc::new(self);
        let server = Server::start(&chat.server).await?;
        let mut pairs = Vec::new();
        for n in 0..chat.pairs {
            let sender = Device::log_in(&server, chat.transport, &format!("s{n}")).await?;
            let receiver = Device::log_in(&server, chat.transport, &format!("r{n}")).await?;
            pairs.push((n, sender, receiver));
        }
        let begin = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, sender, receiver) in pairs {
            tasks.spawn(Pair { chat: chat.clone(), begin, number }.run(sender, receiver));
        }
        let (total, cpu) = tokio::try_join!(collect(tasks), cpu_between(server.pid(), chat.seconds))?;
        chat.print(&total, cpu);
        Ok(())
    }

    fn print(&self, total: &Seen, cpu: Duration) {
        let stored = if self.no_store { "not stored" } else { "stored" };
        let acked = total.acks.count();
        println!(
            "{} pairs, {} in flight each, {} B, {stored}, {}",
            self.pairs,
            self.in_flight,
            self.bytes,
            self.transport.name()
        );
        println!("acknowledged          {:.0}/s", acked as f64 / self.seconds as f64);
        println!("send -> ack           {}", total.acks.summary());
        println!("send -> delivery      {}", total.deliveries.summary());
        println!("gateway CPU           {:.1} µs a message", cpu.as_secs_f64() * 1e6 / acked.max(1) as f64);
        println!("checked               every acknowledged message was delivered once, in order");
    }
}

async fn collect(mut tasks: JoinSet<anyhow::Result<Seen>>) -> anyhow::Result<Seen> {
    let mut total = Seen { acks: Latency::new()?, deliveries: Latency::new()? };
    while let Some(seen) = tasks.join_next().await {
        let seen = seen??;
        total.acks.merge(&seen.acks)?;
        total.deliveries.merge(&seen.deliveries)?;
    }
    Ok(total)
}

async fn cpu_between(pid: u32, seconds: u64) -> anyhow::Result<Duration> {
    tokio::time::sleep(WARM_UP).await;
    let before = process::processor_time(pid)?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(process::processor_time(pid)? - before)
}

struct Pair {
    chat: Arc<Chat>,
    begin: Instant,
    number: usize,
}

impl Pair {
    async fn run(self, sender: Device, receiver: Device) -> anyhow::Result<Seen> {
        let (told, expected) = oneshot::channel();
        let limit = WARM_UP + Duration::from_secs(self.chat.seconds) + TAIL;
        let both = async {
            tokio::try_join!(self.send(sender.reader, sender.writer, told), self.receive(receiver, expected))
        };
        match tokio::time::timeout(limit, both).await {
            Ok(both) => both.map(|(acks, deliveries)| Seen { acks, deliveries }),
            Err(_) => bail!("pair {} lost messages", self.number),
        }
    }

    async fn send(
        &self,
        mut reader: Reader,
        mut writer: Writer,
        told: oneshot::Sender<u64>,
    ) -> anyhow::Result<Latency> {
        let mut acks = Latency::new()?;
        let mut sent_at = std::collections::HashMap::new();
        let end = self.begin + WARM_UP + Duration::from_secs(self.chat.seconds);
        let mut next = 0;
        loop {
            while sent_at.len() < self.chat.in_flight && Instant::now() < end {
                next += 1;
                sent_at.insert(next, Instant::now());
                writer.send(next, client_frame::Body::Send(self.message(next))).await?;
            }
            if sent_at.is_empty() {
                // The receiver ends once it has seen that many; if it is gone, it says why itself.
                let _ = told.send(next);
                return Ok(acks);
            }
            let frame = reader.next().await?;
            let Some(server_frame::Body::SendAck(_)) = frame.body else { bail!("no ack: {frame:?}") };
            let Some(at) = sent_at.remove(&frame.re) else { bail!("an ack for nothing") };
            if self.counts(at, end) {
                acks.record(at.elapsed());
            }
        }
    }

    async fn receive(
        &self,
        Device { mut reader, mut writer }: Device,
        mut expected: oneshot::Receiver<u64>,
    ) -> anyhow::Result<Latency> {
        let mut deliveries = Latency::new()?;
        let end = self.begin + WARM_UP + Duration::from_secs(self.chat.seconds);
        let (mut seen, mut all, mut last) = (0, None, 0);
        while all != Some(seen) {
            let frame = tokio::select! {
                sent = &mut expected, if all.is_none() => {
                    all = Some(sent?);
                    continue;
                }
                frame = reader.next() => frame?,
            };
            if frame.session_seq > 0 && frame.session_seq % ACK_EVERY == 0 {
                writer.acknowledge(frame.session_seq).await?;
            }
            let Some(server_frame::Body::Message(message)) = frame.body else { continue };
            ensure!(self.chat.no_store || message.seq == last + 1, "seq {} after {last}", message.seq);
            last = message.seq;
            let Some(content) = message.content else { continue };
            seen += 1;
            let at = self.begin + Duration::from_nanos(u64::from_be_bytes(content.data[..8].try_into()?));
            if self.counts(at, end) {
                deliveries.record(at.elapsed());
            }
        }
        Ok(deliveries)
    }

    fn counts(&self, at: Instant, end: Instant) -> bool {
        at >= self.begin + WARM_UP && at < end
    }

    fn message(&self, number: u64) -> Send {
        let mut data = vec![b'x'; self.chat.bytes];
        data[..8].copy_from_slice(&(self.begin.elapsed().as_nanos() as u64).to_be_bytes());
        let mut id = [0; 16];
        id[8..].copy_from_slice(&number.to_be_bytes());
        id[..8].copy_from_slice(&rand::random::<u64>().to_be_bytes());
        Send {
            to_user: format!("r{}", self.number),
            client_msg_id: Bytes::copy_from_slice(&id),
            content: Some(Content { r#type: "application/octet-stream".into(), data: data.into() }),
            no_store: self.chat.no_store,
            ..Send::default()
        }
    }
}
