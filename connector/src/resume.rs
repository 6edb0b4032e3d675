//! Resuming a session: the token that proves whose it is, and the way back to it.

use std::sync::Arc;

use protocol::Proto as _;
use protocol::node::v1::Identity;
use protocol::v1::welcome::Outcome;
use protocol::v1::{ServerFrame, Welcome, server_frame};
use ring::hmac;

use crate::attach::{self, Admission};
use crate::attachment::{self, Attachment};
use crate::core::Core;
use crate::handle::Seat;
use crate::session::Session;

/// Bytes of DeviceId and epoch at the front of a token.
const NAME_BYTES: usize = 16;

/// Makes and checks resume tokens. Nothing is kept per session: a token is the session's name and a signature over
/// name and user, made with a key that lives as long as the process.
pub(crate) struct Resumes {
    key: hmac::Key,
}

impl Resumes {
    /// With a fresh key.
    pub fn new() -> Self {
        let secret: [u8; 32] = rand::random();
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &secret) }
    }

    /// The encoded Welcome of a session, with its token.
    pub fn welcome(&self, welcome: Welcome, identity: &Identity, device: u64, epoch: u64) -> bytes::Bytes {
        let name = name(device, epoch);
        let signature = hmac::sign(&self.key, &signed(&name, identity));
        let welcome = Welcome {
            device_id: device,
            session_id: name.to_vec().into(),
            resume_token: [&name, signature.as_ref()].concat().into(),
            ..welcome
        };
        let body = Some(server_frame::Body::Welcome(welcome));
        ServerFrame { session_seq: 0, re: 0, body }.encode_to_vec().into()
    }

    /// DeviceId and epoch of the session that a token is for, if this user may have it.
    fn open(&self, token: &[u8], identity: &Identity) -> Option<(u64, u64)> {
        let (name, signature) = token.split_at_checked(NAME_BYTES)?;
        hmac::verify(&self.key, &signed(name, identity), signature).ok()?;
        let (device, epoch) = name.split_at(NAME_BYTES / 2);
        Some((u64::from_be_bytes(device.try_into().ok()?), u64::from_be_bytes(epoch.try_into().ok()?)))
    }
}

/// Gives the session that a Hello asks for to its connection. Otherwise says why there has to be a new one.
pub(crate) fn resume(core: &Arc<Core>, admission: &Admission) -> Result<Attachment, Outcome> {
    let Some(asked) = &admission.hello.resume else { return Err(Outcome::New) };
    let (device, epoch) = core.resumes.open(&asked.token, &admission.identity).ok_or(Outcome::Expired)?;
    let handle = core.sessions.with(device, epoch, Arc::clone).ok_or(Outcome::Expired)?;
    let welcome = attach::welcome(core, admission, Outcome::Resumed);
    let welcome = core.resumes.welcome(welcome, &admission.identity, device, epoch);
    handle.heard(core.seconds());
    handle.set_expires_at(core.second_of(admission.expires_ms));
    let resumed = handle.resume(asked.last_seq, welcome).ok_or(Outcome::Gap)?;
    core.watch_once(&handle);
    if resumed.arm {
        core.watch_unacknowledged(&handle);
    }
    attachment::announce(core, &handle);
    core.metrics.resumed.add(1);
    let session = Session::new(device, epoch, Arc::new(admission.identity.clone()));
    Ok(Attachment::new(core.clone(), Seat::new(handle, resumed.number), session))
}

fn name(device: u64, epoch: u64) -> [u8; NAME_BYTES] {
    (u128::from(device) << 64 | u128::from(epoch)).to_be_bytes()
}

fn signed(name: &[u8], identity: &Identity) -> Vec<u8> {
    // The tenant's length separates ("a", "bc") from ("ab", "c").
    [name, &[identity.tenant.len() as u8], identity.tenant.as_bytes(), identity.user.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(tenant: &str, user: &str) -> Identity {
        Identity { tenant: tenant.into(), user: user.into(), ..Identity::default() }
    }

    fn token(resumes: &Resumes, identity: &Identity) -> bytes::Bytes {
        let frame = resumes.welcome(Welcome::default(), identity, 7, 9);
        match ServerFrame::decode(frame).unwrap().body {
            Some(server_frame::Body::Welcome(welcome)) => welcome.resume_token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_is_for_one_user_and_one_process() {
        let resumes = Resumes::new();
        let token = token(&resumes, &user("a", "bc"));
        assert_eq!(resumes.open(&token, &user("a", "bc")), Some((7, 9)));
        assert_eq!(resumes.open(&token, &user("ab", "c")), None);
        assert_eq!(resumes.open(&token, &user("a", "eve")), None);
        assert_eq!(Resumes::new().open(&token, &user("a", "bc")), None);
        for at in 0..token.len() {
            let mut forged = token.to_vec();
            forged[at] ^= 1;
            assert_eq!(resumes.open(&forged, &user("a", "bc")), None);
            assert_eq!(resumes.open(&token[..at], &user("a", "bc")), None);
        }
    }
}
