//! The membership of a single process: one connector, one channel node, for ever.

use std::sync::Arc;

use idgen::NodeId;
use tokio::sync::watch;

use crate::membership::{Membership, View};

/// A membership that does not change.
pub struct FixedMembership {
    view: watch::Sender<Arc<View>>,
}

impl FixedMembership {
    /// `connector` and `channel` in one process.
    pub fn single(connector: NodeId, channel: NodeId) -> FixedMembership {
        FixedMembership::of(View::single(connector, channel))
    }

    /// Any cluster.
    pub fn of(view: View) -> FixedMembership {
        FixedMembership { view: watch::Sender::new(Arc::new(view)) }
    }
}

impl Membership for FixedMembership {
    fn snapshot(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }
}
