//! The users and conversations that `whimbrel dev` starts with. A second start finds them there.

use channel::node::ChannelNode;
use protocol::check::Refused;
use protocol::v1::{NewMember, Role};
use storage::directory::UserInfo;
use storage::{Directory, StoreError};

use crate::dev_data::{self, TENANT, USERS};

/// The group of the team.
pub const TEAM: &str = "team";
/// The visitor's conversation with support.
pub const SUPPORT: &str = "support:vera";

/// Why seeding failed.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Refused(#[from] Refused),
}

/// Makes users and conversations that are not there yet.
pub async fn seed(directory: &dyn Directory, channel: &ChannelNode) -> Result<(), SeedError> {
    for (user, name, role) in USERS {
        directory.put_user(TENANT, user, UserInfo { name: name.to_owned(), role }).await?;
    }
    conversation(channel, TEAM, "Team", &["alice", "bob", "ada"]).await?;
    conversation(channel, SUPPORT, "Support for Vera", &["vera", "ada"]).await?;
    Ok(())
}

async fn conversation(channel: &ChannelNode, id: &str, title: &str, users: &[&str]) -> Result<(), SeedError> {
    let members = users.iter().map(|user| NewMember {
        user: (*user).to_owned(),
        role: role_of(user).into(),
        with_history: true,
    });
    Ok(channel.create_conversation(TENANT, id, title, members.collect()).await?)
}

fn role_of(user: &str) -> Role {
    dev_data::identity(user).role()
}
