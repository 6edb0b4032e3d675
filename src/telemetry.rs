//! Log lines on standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::config::setting::LogFormat;

/// What `whimbrel dev` shows: its own news, warnings of everybody else.
pub const DEV_FILTER: &str = "warn,whimbrel=info";

/// The filter that `level` describes: one level, or levels by module.
pub fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(level)
}

/// Starts logging. `RUST_LOG`, where set and well-formed, wins over `level`.
pub fn start(level: &str, format: LogFormat) -> Result<(), ParseError> {
    let configured = filter(level)?;
    let filter = std::env::var("RUST_LOG").ok().and_then(|asked| filter_asked(&asked)).unwrap_or(configured);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start, in a test, keeps the first.
    _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

fn filter_asked(asked: &str) -> Option<EnvFilter> {
    (!asked.is_empty()).then(|| filter(asked).ok()).flatten()
}
