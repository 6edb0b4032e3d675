//! Hello and Welcome: from an address to a logged-in connection.

use std::time::Duration;

use protocol::v1::client_frame::Body as Ask;
use protocol::v1::server_frame::Body as Told;
use protocol::v1::{ClientFrame, ClientInfo, Hello, Resume, ServerFrame, Welcome};
use protocol::version::{FEATURES, VERSIONS};

use crate::connect::address::Address;
use crate::connect::trust::Trust;
use crate::connect::{self};
use crate::error::ConnectError;
use crate::reconnect::Lost;
use crate::token::Tokens;
use crate::wire::Wire;

/// Time the server has to answer Hello.
pub const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Time the application's token source has.
pub const TOKEN_WITHIN: Duration = Duration::from_secs(30);

/// What every connection of a client has in common.
#[derive(Clone, Debug)]
pub struct Profile {
    pub address: Address,
    pub trust: Trust,
    pub tokens: Tokens,
    pub installation: String,
    pub device_type: u32,
    pub info: ClientInfo,
    pub receive_window: u32,
}

/// Connects to `address`, logs in and returns the connection with the server's Welcome.
pub async fn connect(
    profile: Profile,
    address: Address,
    resume: Option<Resume>,
) -> Result<(Wire, Welcome), ConnectError> {
    let token = tokio::time::timeout(TOKEN_WITHIN, profile.tokens.get()).await;
    let token = token.map_err(|_| ConnectError::Token("the source does not answer".into()))?;
    let token = token.map_err(|error| ConnectError::Token(error.to_string()))?;
    let mut wire = Wire::new(connect::dial(&address, &profile.trust).await?);
    wire.queue(&ClientFrame { body: Some(Ask::Hello(hello(&profile, token, resume))), ..Default::default() });
    let answer = tokio::time::timeout(WELCOME_WITHIN, wire.frame()).await;
    let answer = answer.unwrap_or_else(|_| Err(Lost::broken("no answer to Hello in time")));
    match read(answer) {
        Ok(welcome) => Ok((wire, welcome)),
        Err(error) => Err(explain(error, &address)),
    }
}

fn hello(profile: &Profile, token: String, resume: Option<Resume>) -> Hello {
    Hello {
        version_min: *VERSIONS.start(),
        version_max: *VERSIONS.end(),
        features: FEATURES,
        client: Some(profile.info.clone()),
        token,
        installation: profile.installation.clone(),
        device_type: profile.device_type,
        resume,
        receive_window: profile.receive_window,
    }
}

fn read(answer: Result<ServerFrame, Lost>) -> Result<Welcome, Lost> {
    match answer?.body {
        Some(Told::Welcome(welcome)) => Ok(welcome),
        Some(Told::GoAway(go_away)) => Err(Lost::go_away(go_away)),
        Some(Told::Error(error)) => Err(Lost::error(error)),
        _ => Err(Lost::broken("the first frame is not Welcome")),
    }
}

/// A server that gave a code refused; anything else is no answer in this protocol.
fn explain(lost: Lost, address: &Address) -> ConnectError {
    let address = address.to_string();
    match lost.code.is_some() || lost.verdict == protocol::v1::go_away::Verdict::Never {
        true => ConnectError::Refused { address, lost },
        false => ConnectError::Handshake { address, problem: lost.reason },
    }
}
