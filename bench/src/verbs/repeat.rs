//! `bench repeat`: devices that hear everything and acknowledge nothing, and what one round of repetitions costs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use protocol::v1::{Send, client_frame};

use crate::access::Access;
use crate::fleet;
use crate::group::Group;
use crate::load::plan::Transport;
use crate::measure::process::processor_times;
use crate::message;
use crate::metrics::Metrics;
use crate::server::{Server, ServerArgs};
use crate::silence::{Heard, Silence};
use crate::wire::Device;

/// When the gateway repeats what is not acknowledged for the first time, and for the second time after that: its
/// default, which the configuration of a load test leaves as it is.
pub const REPEATED_AFTER: Duration = Duration::from_secs(18);
/// Counting begins so long before the first repetition is due, and ends so long before the second may be.
const MARGIN: Duration = Duration::from_secs(1);
/// Devices that send the messages, each waiting for one acknowledgement after the other.
const SPEAKERS: usize = 64;
/// The id of every request of theirs: none is made before the one before is answered.
const REQUEST: u64 = 1;

#[derive(Args)]
pub struct Repeat {
    /// How many devices
    #[arg(long, default_value_t = 10_000)]
    devices: usize,
    /// Stored pushes that each of them gets and does not acknowledge
    #[arg(long, default_value_t = 1)]
    unacked: usize,
    /// Bytes of content of each of them
    #[arg(long, default_value_t = 256)]
    bytes: usize,
    /// Push in one conversation of all devices, so that all repetitions are due at the same second. Otherwise each
    /// device has a conversation of its own, and they are due as the messages were sent
    #[arg(long)]
    group: bool,
    #[arg(long, value_enum, default_value = "tcp")]
    transport: Transport,
    /// Processor that the gateway stays on
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Where the pushes come from; who speaks stays until the end, so that nobody else comes or goes meanwhile.
enum Conversations {
    One(Group),
    Each(Vec<Device>),
}

/// What the gateway has used up to a moment.
struct Used {
    cpu: Duration,
    metrics: Metrics,
}

impl Used {
    fn by(server: &Server) -> anyhow::Result<Used> {
        Ok(Used { cpu: processor_times(&server.pids())?, metrics: server.metrics()? })
    }
}

impl Repeat {
    pub fn run(self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.transport.is_secure(), "repeat works over tcp and websocket only");
        let server = Server::start(&self.server, false, self.cpu)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.measure(&server))
    }

    async fn measure(self, server: &Server) -> anyhow::Result<()> {
        let access = &server.access;
        // Made before their members are there, who would be pushed that they have joined.
        let mut conversations = match self.group {
            true => Conversations::One(Group::create(access, self.devices).await?),
            false => Conversations::Each(self.introduce(access).await?),
        };
        let silence = Silence::of(fleet::open(access, self.transport, 0..self.devices).await?);
        let began = Instant::now();
        match &mut conversations {
            Conversations::One(group) => self.push_to_all(group).await?,
            Conversations::Each(speakers) => self.push_to_each(speakers, self.unacked).await?,
        }
        let (pushes, due) = (self.pushes(), began + REPEATED_AFTER - MARGIN);
        let first = silence.wait(due, |heard| heard.first_copies >= pushes).await.first_copies;
        ensure!(
            first == pushes,
            "{first} of {pushes} pushes came before repetitions began: take fewer --devices"
        );
        println!("pushed                within {:.2} s", began.elapsed().as_secs_f64());
        tokio::time::sleep_until(due.into()).await;
        let before = Used::by(server)?;
        let heard = silence.wait(due + REPEATED_AFTER, |heard| heard.repetitions >= pushes).await;
        let after = Used::by(server)?;
        self.print(began, &heard, &before, &after)
    }

    fn pushes(&self) -> u64 {
        (self.devices * self.unacked) as u64
    }

    /// Speakers who have told each user something.
    async fn introduce(&self, access: &Access) -> anyhow::Result<Vec<Device>> {
        let names = (0..SPEAKERS).map(|n| format!("speaker{n}"));
        let speakers = names.map(|user| async move { Device::log_in(access, Transport::Tcp, &user).await });
        let mut speakers = futures::future::try_join_all(speakers).await?;
        self.push_to_each(&mut speakers, 1).await?;
        Ok(speakers)
    }

    async fn push_to_all(&self, group: &mut Group) -> anyhow::Result<()> {
        for _ in 0..self.unacked {
            group.say(self.bytes, true).await?;
        }
        Ok(())
    }

    /// Each speaker tells its share of the users so many things, one after the other.
    async fn push_to_each(&self, speakers: &mut [Device], messages: usize) -> anyhow::Result<()> {
        let all = speakers.iter_mut().enumerate().map(|(n, speaker)| async move {
            let share = (n..self.devices).step_by(SPEAKERS);
            for user in share.flat_map(|user| std::iter::repeat_n(user, messages)) {
                let send = Send { to_user: fleet::user(user), ..message::of(self.bytes) };
                speaker.request(REQUEST, client_frame::Body::Send(send)).await?;
            }
            anyhow::Ok(())
        });
        futures::future::try_join_all(all).await.map(drop)
    }

    fn print(&self, began: Instant, heard: &Heard, before: &Used, after: &Used) -> anyhow::Result<()> {
        let risen = |name| after.metrics.risen(&before.metrics, name);
        let reads = risen("store_point_reads_total")? + risen("store_range_reads_total")?;
        let written = risen("connector_bytes_out_total")?;
        let (cpu, each) = ((after.cpu - before.cpu).as_secs_f64(), heard.repetitions.max(1) as f64);
        let conversations = if self.group { "one conversation of all" } else { "a conversation each" };
        println!("silent devices        {} over {}, {conversations}", self.devices, self.transport.name());
        println!("unacknowledged        {} pushes of {} B to each device", self.unacked, self.bytes);
        println!(
            "repeated              {} of {}, to {} devices",
            heard.repetitions,
            self.pushes(),
            heard.devices
        );
        if let Some((first, last)) = heard.between {
            let after = |at: Instant| (at - began).as_secs_f64();
            println!(
                "repetitions came      {:.2} s to {:.2} s after the first push",
                after(first),
                after(last)
            );
        }
        println!("gateway CPU           {cpu:.2} s, {:.1} µs a repetition", cpu * 1e6 / each);
        println!("store reads           {reads}, {:.2} a device", reads as f64 / self.devices as f64);
        println!("bytes written         {written}, {:.0} a repetition", written as f64 / each);
        Ok(())
    }
}
