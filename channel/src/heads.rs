//! Tells sessions how far their conversations reach, after a change of owners in which pushes may have been lost.

use std::sync::Arc;
use std::time::Duration;

use idgen::NodeId;
use prost::Message as _;
use protocol::node::v1::push::Telling;
use protocol::node::v1::{AnnouncedSession, Push, ToConnector, to_connector};
use protocol::v1::server_frame::Body;
use protocol::v1::{Head, ServerFrame};
use storage::directory::{Listing, Membership};
use storage::{Store, StoreError};
use tokio::sync::Semaphore;

use crate::links::Links;

/// Conversations of a user that are told: those with the latest entries. A lost push is one of the last seconds.
const HEADS_EACH: usize = 32;
/// Users looked at at once.
const AT_ONCE: usize = 8;
/// Waits after failures of the store. Who is not told by then learns with the next message, or at the next login.
const WAITS_S: [u64; 5] = [1, 2, 4, 8, 16];

/// Reads tips and pushes them.
pub struct Heads {
    store: Arc<dyn Store>,
    links: Arc<Links>,
    places: Semaphore,
}

impl Heads {
    pub fn new(store: Arc<dyn Store>, links: Arc<Links>) -> Heads {
        Heads { store, links, places: Semaphore::new(AT_ONCE) }
    }

    /// Tells sessions of one connector, one after the other.
    pub async fn tell(&self, connector: NodeId, sessions: Vec<AnnouncedSession>) {
        for session in sessions {
            let Ok(_place) = self.places.acquire().await else { return };
            let mut waits = WAITS_S.into_iter();
            while let Err(error) = self.tell_one(connector, &session).await {
                let Some(wait) = waits.next() else {
                    tracing::warn!(%error, user = session.user, "it is not known what a session has missed");
                    break;
                };
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
        }
    }

    async fn tell_one(&self, connector: NodeId, session: &AnnouncedSession) -> Result<(), StoreError> {
        let listing = Listing::Latest { before: None };
        let listed = self.store.listed(&session.tenant, &session.user, listing, HEADS_EACH).await?;
        for (_, of) in listed.rows {
            if let Some(push) = head(session, &of) {
                self.links.deliver(connector, ToConnector { body: Some(to_connector::Body::Push(push)) });
            }
        }
        Ok(())
    }
}

fn head(session: &AnnouncedSession, of: &Membership) -> Option<Push> {
    let tip = of.member.visible_tip(of.tip);
    if tip == 0 {
        return None;
    }
    let head = Head { conversation: of.conversation.clone(), tip };
    let frame = ServerFrame { session_seq: 0, re: 0, body: Some(Body::Head(head)) };
    let (frame, conversation) = (frame.encode_to_vec().into(), of.conversation.clone().into());
    Some(Push {
        targets: session.target.into_iter().collect(),
        frame,
        conversation,
        seq: tip,
        telling: Telling::Anyway.into(),
    })
}
