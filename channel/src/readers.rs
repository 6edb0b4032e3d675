//! Requests that are answered from the store, each in a task of its own.

use std::sync::Arc;

use protocol::node::v1::Identity;
use protocol::v1::server_frame::Body;
use storage::Store;

use crate::conversations::Conversations;
use crate::dispatch::Read;
use crate::history::History;
use crate::member_page::Members;
use crate::metrics::Metrics;
use crate::reply::{Asker, Replies};
use crate::shares::{Share, Shares};
use crate::timeline::Timelines;
use crate::turns::{self, Turn, Turns};
use crate::watch::Watches;

/// Most reads in progress at once. Each holds at most one frame of results.
pub const MAX_READS_IN_FLIGHT: usize = 1_024;
/// Most reads that wait for others; more are refused with OVERLOADED.
pub const MAX_READS_WAITING: usize = 16_384;

/// Who answers which read.
pub struct Readers {
    history: History,
    conversations: Conversations,
    members: Members,
    watches: Arc<Watches>,
    timelines: Arc<Timelines>,
    replies: Replies,
    turns: Arc<Turns>,
    shares: Arc<Shares>,
}

/// A user's place among the reads, given back when dropped.
pub struct Place {
    place: turns::Place,
    _share: Share,
}

impl Place {
    /// Waits for the turn.
    pub async fn turn(&self) -> Turn<'_> {
        self.place.turn().await
    }
}

impl Readers {
    pub fn new(
        store: Arc<dyn Store>,
        watches: Arc<Watches>,
        timelines: Arc<Timelines>,
        replies: Replies,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            history: History::new(store.clone(), metrics),
            conversations: Conversations::new(store.clone()),
            members: Members::new(store, watches.clone()),
            watches,
            timelines,
            replies,
            turns: Turns::new(MAX_READS_IN_FLIGHT, MAX_READS_WAITING),
            shares: Shares::of(MAX_READS_IN_FLIGHT),
        }
    }

    /// A place for a user among the reads; `None` if there is none free, or the user has an eighth of as many as run at
    /// once.
    pub fn place(&self, tenant: &str, user: &str) -> Option<Place> {
        let _share = self.shares.take(tenant, user)?;
        Some(Place { place: self.turns.place()?, _share })
    }

    /// Reads and answers.
    pub async fn read(&self, asker: Asker, identity: &Identity, read: Read) {
        match read {
            Read::Sync(sync) => self.history.sync(&self.replies, asker, identity, sync).await,
            Read::Watch(watch) => self.watches.watch(&self.replies, asker, identity, watch).await,
            Read::Timeline(asked) => {
                let timeline = self.timelines.for_device(identity, asked).await;
                self.replies.answer(asker, timeline.map(Body::Timeline));
            }
            Read::Conversations(list) => {
                let page = self.conversations.page(identity, list).await;
                self.replies.answer(asker, page.map(Body::Conversations));
            }
            Read::Members(list) => {
                let page = self.members.page(identity, list).await;
                self.replies.answer(asker, page.map(Body::Members));
            }
        }
    }
}
