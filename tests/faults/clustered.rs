//! One cluster that several rows run on, so that starting it is paid once.

use std::rc::Rc;

use tokio::sync::OnceCell;

use crate::nodes::{Nodes, Special, zookeeper};
use crate::support::process::Settings;

/// Two channel nodes on one store and two connectors: started for the first row that wants them, ended with the last clone.
#[derive(Clone, Default)]
pub struct Clustered(Rc<OnceCell<Nodes>>);

impl Clustered {
    pub async fn nodes(&self) -> &Nodes {
        self.0.get_or_init(start).await
    }
}

/// One such cluster, for a row that breaks its own.
pub async fn start() -> Nodes {
    // Few tellers open a conversation with every device.
    let channels = Settings::new().set("limits.creations_at_once", 1_000_000);
    Nodes::sharing_with(zookeeper().await, 2, Special { channels, ..Special::default() }).await
}
