//! Where a value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// One place a value may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    #[default]
    Default,
    /// A line of the file; both count from 1, columns in characters.
    Line { file: String, line: usize, column: usize },
    /// The file as a whole: what it lacks.
    File(String),
    /// The name of an environment variable.
    Environment(String),
    /// A flag as typed, without its value.
    Flag(String),
}

/// The origin of every value that is not a default, by `section.key`.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// What is blamed for missing values.
    pub whole: Origin,
    by_key: BTreeMap<String, Origin>,
}

impl Origin {
    /// The place of a span of `text`.
    pub fn of_span(file: &str, text: &str, span: &Range<usize>) -> Origin {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Origin::Line {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl Origins {
    /// Notes where a value came from; the latest counts.
    pub fn note(&mut self, key: impl Into<String>, origin: Origin) {
        self.by_key.insert(key.into(), origin);
    }

    /// Where a value came from; for a default, what could have set it.
    pub fn of(&self, key: &str) -> Origin {
        self.by_key.get(key).unwrap_or(&self.whole).clone()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("configuration"),
            Origin::Line { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Origin::File(file) => f.write_str(file),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}
