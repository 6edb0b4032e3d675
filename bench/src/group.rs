//! One conversation of all devices: what is said in it is stored once and pushed to everybody at the same time.

use anyhow::ensure;
use protocol::limit::{MAX_MEMBERS, MAX_MEMBERS_PER_CHANGE};
use protocol::v1::client_frame::Body as Ask;
use protocol::v1::{ChangeMembers, CreateConversation, NewMember, Send, SendAck};

use crate::fleet;
use crate::message::{self, fresh_id};
use crate::server::Server;
use crate::wire::{Device, Transport};

/// A conversation with a member who speaks in it.
pub struct Group {
    speaker: Device,
    conversation: String,
    requests: u64,
}

impl Group {
    /// Makes one of the users `u0` to `u{users - 1}`. Each change of members is an entry, so it is made before they
    /// are there.
    pub async fn create(server: &Server, users: usize) -> anyhow::Result<Group> {
        ensure!(users < MAX_MEMBERS, "a conversation has at most {MAX_MEMBERS} members");
        let speaker = Device::log_in(server, Transport::Tcp, "speaker").await?;
        let mut group = Group { speaker, conversation: String::new(), requests: 0 };
        let create = CreateConversation { client_msg_id: fresh_id(), ..CreateConversation::default() };
        group.conversation = group.ask(Ask::CreateConversation(create)).await?.conversation;
        let member = |n| NewMember { user: fleet::user(n), ..NewMember::default() };
        let members: Vec<NewMember> = (0..users).map(member).collect();
        for add in members.chunks(MAX_MEMBERS_PER_CHANGE) {
            let (conversation, add) = (group.conversation.clone(), add.to_vec());
            let change = ChangeMembers { conversation, client_msg_id: fresh_id(), add, remove: Vec::new() };
            group.ask(Ask::ChangeMembers(change)).await?;
        }
        Ok(group)
    }

    /// Says something of so many bytes, stored or only for who is there.
    pub async fn say(&mut self, bytes: usize, stored: bool) -> anyhow::Result<()> {
        let conversation = self.conversation.clone();
        let send = Send { conversation, no_store: !stored, ..message::of(bytes) };
        self.ask(Ask::Send(send)).await.map(drop)
    }

    async fn ask(&mut self, body: Ask) -> anyhow::Result<SendAck> {
        self.requests += 1;
        self.speaker.request(self.requests, body).await
    }
}
