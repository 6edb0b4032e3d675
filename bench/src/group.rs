//! One conversation of all devices: what is said in it is stored once and pushed to everybody at the same time.

use anyhow::{Context as _, ensure};
use client::Client;
use protocol::limit::{MAX_MEMBERS, MAX_MEMBERS_PER_CHANGE};
use protocol::v1::Send;
use protocol::v1::client_frame::Body as Ask;

use crate::access::Access;
use crate::fleet;
use crate::load::plan::Transport;
use crate::message;
use crate::wire::Device;

/// The user who speaks in it.
pub const SPEAKER: &str = "speaker";

/// Makes a conversation of the users `u0` to `u{users - 1}` and of who speaks; its id. Each change of members is an
/// entry, so it is made before they are there.
pub fn create(access: &Access, transport: Transport, users: usize) -> anyhow::Result<String> {
    ensure!(users < MAX_MEMBERS, "a conversation has at most {MAX_MEMBERS} members");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(make(access, transport, users)).context("the conversation of all devices was not made")
}

async fn make(access: &Access, transport: Transport, users: usize) -> anyhow::Result<String> {
    let scheme = match transport {
        Transport::Tcp => "tcp",
        Transport::Websocket => "ws",
        Transport::Tls => "tls",
        Transport::Quic => "quic",
    };
    let port = access.addresses(transport).first().context("no address")?;
    // A certificate names a host, plain transports need none.
    let host = if transport.is_secure() { access.host.clone() } else { port.ip().to_string() };
    let mut builder = Client::builder(format!("{scheme}://{host}:{}", port.port()));
    if let Some(certificate) = &access.certificate {
        builder = builder.trust_certificate(std::fs::read(certificate)?);
    }
    let client = builder.token(access.minter.token(SPEAKER)?).installation("maker").connect().await?;
    let conversation = client.create_conversation("", Vec::<String>::new()).await?;
    let names: Vec<String> = (0..users).map(|user| access.minter.name(&fleet::user(user))).collect();
    for members in names.chunks(MAX_MEMBERS_PER_CHANGE) {
        conversation.invite(members.to_vec()).await?;
    }
    let id = conversation.id().to_owned();
    client.close().await;
    Ok(id)
}

/// A conversation of all, with a member who speaks in it.
pub struct Group {
    speaker: Device,
    conversation: String,
    requests: u64,
}

impl Group {
    /// Makes one, as [`create`] does.
    pub async fn create(access: &Access, users: usize) -> anyhow::Result<Group> {
        ensure!(users < MAX_MEMBERS, "a conversation has at most {MAX_MEMBERS} members");
        let conversation = make(access, Transport::Tcp, users).await?;
        let speaker = Device::log_in(access, Transport::Tcp, SPEAKER).await?;
        Ok(Group { speaker, conversation, requests: 0 })
    }

    /// Says something of so many bytes, stored or only for who is there.
    pub async fn say(&mut self, bytes: usize, stored: bool) -> anyhow::Result<()> {
        let conversation = self.conversation.clone();
        let send = Send { conversation, no_store: !stored, ..message::of(bytes) };
        self.requests += 1;
        self.speaker.request(self.requests, Ask::Send(send)).await.map(drop)
    }
}
