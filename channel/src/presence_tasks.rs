//! The two tasks of presence, and the order in which they end.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::presence_log::PresenceLog;
use crate::teller::Teller;

/// Longest wait at a drain for the last presence changes to be recorded. What a slow store does not take by then is
/// settled after the next start.
const MAX_LAST_RECORD: Duration = Duration::from_secs(2);

/// The teller, and the writer of the presence stream.
#[derive(Default)]
pub struct PresenceTasks {
    teller: TaskTracker,
    recorder: TaskTracker,
    stop: CancellationToken,
    stop_recorder: CancellationToken,
}

impl PresenceTasks {
    /// Starts both.
    pub fn start(&self, teller: Teller, log: Arc<PresenceLog>) {
        let recorder = log.run(teller.watches.clone(), teller.grace, self.stop_recorder.clone());
        self.recorder.spawn(recorder);
        self.teller.spawn(teller.run(self.stop.clone()));
    }

    /// Ends both: the writer last, for what the teller still has to record.
    pub async fn stop(&self, within: Duration) {
        self.stop.cancel();
        self.teller.close();
        self.teller.wait().await;
        self.stop_recorder.cancel();
        self.recorder.close();
        _ = tokio::time::timeout(within.min(MAX_LAST_RECORD), self.recorder.wait()).await;
    }
}
