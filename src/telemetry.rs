//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};

use crate::config::setting::LogFormat;

/// Why a text is no filter.
#[derive(Debug, thiserror::Error)]
pub enum BadLevel {
    #[error(transparent)]
    Unreadable(#[from] ParseError),
    /// The filter's own reader takes any word for a module.
    #[error("{0:?} is no level; use error, warn, info, debug, trace or off, or module=level")]
    Word(String),
}

/// The filter that `level` describes: one level, or levels by module.
pub fn filter(level: &str) -> Result<EnvFilter, BadLevel> {
    let is_word = |part: &&str| part.chars().all(char::is_alphanumeric);
    let no_level = level.split(',').filter(is_word).find(|word| word.parse::<LevelFilter>().is_err());
    match no_level {
        Some(word) => Err(BadLevel::Word(word.to_owned())),
        None => Ok(EnvFilter::builder().parse(level)?),
    }
}

/// Starts logging. `RUST_LOG` counts for nothing: the level is configured like every other value.
pub fn start(level: &str, format: LogFormat) -> Result<(), BadLevel> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(level)?)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start, in a test, keeps the first.
    _ = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_an_error() {
        for good in
            ["info", "WARN", "off", "warn,whimbrel=info", "whimbrel::cli=debug", "warn,connector=trace"]
        {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["loud", "warn,loud", "whimbrel=loud"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }
}
