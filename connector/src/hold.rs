//! Lets what is held go, as soon as its owner is within reach, or refuses it when it has waited long enough.

use std::sync::Arc;
use std::time::Duration;

use crate::core::Core;

/// How often owners are looked for while anything waits.
const LOOK: Duration = Duration::from_millis(20);

/// Runs as long as the connector does; it costs nothing while nothing waits.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        core.uplink.something_held().await;
        while core.uplink.is_holding() {
            core.uplink.release(|open, code| {
                core.metrics.requests_refused.add(1);
                open.refuse(&core, code);
            });
            tokio::time::sleep(LOOK).await;
        }
    }
}
