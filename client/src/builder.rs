//! How a client is configured and connected.

use std::future::Future;
use std::time::Duration;

use protocol::check;
use protocol::v1::ClientInfo;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::connect::address::Address;
use crate::connect::trust::Trust;
use crate::error::ConnectError;
use crate::handshake::{self, Profile};
use crate::reconnect::Backoff;
use crate::token::Tokens;

/// Kind of device; a user's devices of different kinds have different ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceType {
    #[default]
    Default,
    Web,
    Mobile,
    Desktop,
}

/// Configures a [`Client`]. Made by [`Client::builder`].
#[must_use = "a builder does nothing until connect is awaited"]
#[derive(Clone, Debug)]
pub struct Builder {
    address: String,
    trust: Vec<Vec<u8>>,
    tokens: Tokens,
    installation: Option<String>,
    device_type: DeviceType,
    info: ClientInfo,
    receive_window: u32,
    patience: Duration,
}

impl Builder {
    pub(crate) fn new(address: String) -> Builder {
        let info = ClientInfo {
            name: "whimbrel-rust".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            platform: std::env::consts::OS.into(),
        };
        Builder {
            address,
            trust: Vec::new(),
            tokens: Tokens::Fixed(String::new()),
            installation: None,
            device_type: DeviceType::Default,
            info,
            receive_window: 0,
            patience: Duration::ZERO,
        }
    }

    /// The token to log in with. The server closes the connection when it runs out; see
    /// [`Builder::token_source`].
    pub fn token(mut self, token: impl Into<String>) -> Builder {
        self.tokens = Tokens::Fixed(token.into());
        self
    }

    /// A function that gets a token: for every connection, and again before the token runs out.
    pub fn token_source<F, O, E>(mut self, source: F) -> Builder
    where
        F: Fn() -> O + Send + Sync + 'static,
        O: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.tokens = Tokens::source(source);
        self
    }

    /// Names this installation, 1 to 64 bytes. The same user, device type and installation are the same device
    /// at every login. Random by default, which is a new device each time.
    pub fn installation(mut self, installation: impl Into<String>) -> Builder {
        self.installation = Some(installation.into());
        self
    }

    /// The kind of device.
    pub fn device_type(mut self, device_type: DeviceType) -> Builder {
        self.device_type = device_type;
        self
    }

    /// What the application calls itself and its version, for the server's operator.
    pub fn app(mut self, name: impl Into<String>, version: impl Into<String>) -> Builder {
        (self.info.name, self.info.version) = (name.into(), version.into());
        self
    }

    /// Trusts servers by these certificates alone (PEM or DER; a root, or the server's own self-signed one)
    /// instead of the system's roots. May be called again to add more.
    pub fn trust_certificate(mut self, pem_or_der: impl Into<Vec<u8>>) -> Builder {
        self.trust.push(pem_or_der.into());
        self
    }

    /// Bytes of pushes the server may hold for this device; 0, the default, leaves it to the server.
    pub fn receive_window(mut self, bytes: u32) -> Builder {
        self.receive_window = bytes;
        self
    }

    /// Keeps trying for this long if the first connection does not come about but may later. By default the
    /// first failure is the answer. Later connections are always retried.
    pub fn wait_for_server(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// Connects and logs in.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let until = Instant::now() + self.patience;
        let profile = self.profile()?;
        let (mut backoff, mut rng) = (Backoff::default(), StdRng::from_os_rng());
        loop {
            let error = match handshake::connect(profile.clone(), profile.address.clone(), None).await {
                Ok((wire, welcome)) => return Ok(Client::start(profile, wire, welcome)),
                Err(error) => error,
            };
            let wait = backoff.next(asked(&error), &mut rng);
            if !error.retryable() || Instant::now() + wait > until {
                return Err(error);
            }
            sleep(wait).await;
        }
    }

    fn profile(self) -> Result<Profile, ConnectError> {
        let address = Address::parse(&self.address)?;
        let installation = self.installation.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>()));
        check::installation(&installation)
            .map_err(|refused| ConnectError::Address { address: self.address, problem: refused.message })?;
        let mut trust = Trust::default();
        self.trust.iter().try_for_each(|certificate| trust.add(certificate))?;
        Ok(Profile {
            address,
            trust,
            tokens: self.tokens,
            installation,
            device_type: self.device_type as u32,
            info: self.info,
            receive_window: self.receive_window,
        })
    }
}

fn asked(error: &ConnectError) -> Duration {
    match error {
        ConnectError::Refused { lost, .. } => lost.delay,
        _ => Duration::ZERO,
    }
}
