//! The way back to the device that asked.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use protocol::check::Refused;
use protocol::node::v1::{Reply, Target, ToConnector, to_connector};
use protocol::v1::ServerFrame;
use protocol::v1::server_frame::Body;

pub use crate::conversation::event::Asker;
use crate::links::Links;

/// Sends answers through the links. Cheap to clone.
#[derive(Clone)]
pub struct Replies {
    links: Arc<Links>,
}

impl Replies {
    pub fn new(links: Arc<Links>) -> Self {
        Self { links }
    }

    /// Answers with a body.
    pub fn body(&self, asker: Asker, body: Body) {
        if asker.re != 0 {
            let frame = ServerFrame { session_seq: 0, re: asker.re, body: Some(body) };
            self.encoded(asker, frame.encode_to_vec().into());
        }
    }

    /// Answers with an error: a `Refused`, or a `Code` with its own meaning as the text.
    pub fn refuse(&self, asker: Asker, why: impl Into<Refused>) {
        self.body(asker, Body::Error(why.into().error()));
    }

    /// Answers with either.
    pub fn answer(&self, asker: Asker, answer: Result<Body, Refused>) {
        match answer {
            Ok(body) => self.body(asker, body),
            Err(refused) => self.refuse(asker, refused),
        }
    }

    /// Answers with an encoded `ServerFrame` whose `re` is set.
    pub fn encoded(&self, asker: Asker, frame: Bytes) {
        if asker.re == 0 {
            return;
        }
        let target = Some(Target { device_id: asker.device, epoch: asker.epoch });
        let reply = Reply { target, frame };
        self.links.deliver(asker.connector, ToConnector { body: Some(to_connector::Body::Reply(reply)) });
    }
}

/// What a device is told when the store fails: the code, and no inner detail.
pub fn refused_by_store(error: storage::StoreError) -> Refused {
    tracing::debug!(%error, "the store refused");
    error.code().into()
}
