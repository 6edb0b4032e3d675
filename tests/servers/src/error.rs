//! Why a server does not run.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a server does not run. Debug output is Display's: `unwrap` in a test shows the log in whole lines.
#[derive(thiserror::Error)]
pub enum ServerError {
    #[error("the test servers are not there: run ./test servers")]
    NotFetched,
    #[error("java: {0} (apt-get install openjdk-17-jre-headless maven)")]
    Java(std::io::Error),
    #[error("{name} ended ({status}); its last lines:\n{log}")]
    Ended { name: String, status: ExitStatus, log: String },
    #[error("{name} is not ready after {after:?}; its last lines:\n{log}")]
    NotReady { name: String, after: Duration, log: String },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
