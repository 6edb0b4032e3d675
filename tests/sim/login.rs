//! What a device says of itself: Hello, and the token of its tenant's backend.

use connector::auth::{NewClaims, mint};
use protocol::node::v1::Identity;
use protocol::v1::{Hello, Role};
use protocol::version::{FEATURES, VERSIONS};

use crate::device::Device;
use crate::gateway::{EPOCH_MS, PARTY, signing_key};
use crate::world::World;

impl World {
    pub fn hello(&self, d: usize) -> Hello {
        let device = &self.devices[d];
        Hello {
            version_min: *VERSIONS.start(),
            version_max: *VERSIONS.end(),
            features: FEATURES,
            client: None,
            token: self.token(d),
            installation: format!("installation-{}", device.number),
            device_type: 0,
            resume: device.session.resume(),
            receive_window: device.window,
        }
    }

    /// A token of the tenant's backend, whose clock is right.
    pub fn token(&self, d: usize) -> String {
        let Device { tenant, user, token_s, .. } = &self.devices[d];
        let now_s = EPOCH_MS / 1000 + self.now as i64 / 1000;
        let (tenant, user) = (tenant.clone(), user.clone());
        let identity = Identity { tenant, user, name: String::new(), role: Role::Member.into() };
        let party = PARTY.to_owned();
        let claims = NewClaims {
            identity,
            issuer: party.clone(),
            audience: party,
            issued_s: now_s - 2 * 3600,
            expires_s: now_s + token_s,
        };
        mint(&signing_key(), &claims).unwrap()
    }
}
