//! Pushed messages, read again from the log: for a device that has not acknowledged them, or has come back.

use std::sync::Arc;

use bytes::Bytes;
use idgen::NodeId;
use protocol::limit::MAX_FRAME_BYTES;
use protocol::node::v1::{Copy, Place, Resend, Resent, ToConnector, to_connector};
use protocol::splice;
use storage::log::ReadRange;
use storage::{ConversationKey, Store};

use crate::links::Links;
use crate::render::served;

/// Bytes of one answer; the connector asks for the rest. At least one message fits.
const MAX_BYTES: usize = MAX_FRAME_BYTES;

/// Answers Resend.
pub struct Resender {
    store: Arc<dyn Store>,
    links: Arc<Links>,
}

impl Resender {
    pub fn new(store: Arc<dyn Store>, links: Arc<Links>) -> Self {
        Self { store, links }
    }

    /// Reads what is asked, from the front and as much as fits one answer.
    ///
    /// Nobody's right to it is checked again: it was pushed to this device before, and a member keeps the right to what
    /// was said during the membership.
    pub async fn resend(&self, connector: NodeId, asked: Resend) {
        let mut copies = Vec::with_capacity(asked.places.len());
        let mut left = MAX_BYTES;
        for run in asked.places.chunk_by(follows) {
            let frames = self.read(&asked.tenant, run, left).await;
            let all = frames.len() == run.len();
            for (place, frame) in run.iter().zip(frames) {
                left = left.saturating_sub(frame.len());
                copies.push(Copy { place: Some(place.clone()), frame });
            }
            if !all || left == 0 {
                break;
            }
        }
        let resent = Resent { target: asked.target, copies };
        self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Resent(resent)) });
    }

    /// Frames of a run of seqs in one conversation; an empty one for the first that cannot be read.
    async fn read(&self, tenant: &str, run: &[Place], max_bytes: usize) -> Vec<Bytes> {
        let conversation = String::from_utf8_lossy(&run[0].conversation);
        let key = ConversationKey::new(tenant, &*conversation);
        let (first, last) = (run[0].seq, run[run.len() - 1].seq);
        let range = ReadRange { first, last, backwards: false, max_entries: run.len(), max_bytes };
        match self.store.read(&key, range).await {
            Ok(entries) if !entries.is_empty() => {
                // What was recalled since is sent without its content.
                let served = entries.into_iter().map(served);
                let frame = |entry: Bytes| splice::push_frame(&conversation, &entry);
                served.map(|entry| entry.map_or_else(|_| Bytes::new(), frame)).collect()
            }
            Ok(_) => vec![Bytes::new()],
            Err(error) => {
                tracing::warn!(%key, first, %error, "a pushed message cannot be read again");
                vec![Bytes::new()]
            }
        }
    }
}

fn follows(one: &Place, next: &Place) -> bool {
    one.conversation == next.conversation && one.seq + 1 == next.seq
}
