//! Something wrong with the configuration: where, what, and how to mend it.

use std::fmt;

use super::origin::Origin;

/// One problem; its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub at: Origin,
    pub message: String,
    pub severity: Severity,
}

/// Whether the gateway starts in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Warning,
}

/// Every problem found, at least one of them an error.
#[derive(Debug, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl Problem {
    pub fn error(at: Origin, message: impl Into<String>) -> Problem {
        Problem { at, message: message.into(), severity: Severity::Error }
    }

    pub fn warning(at: Origin, message: impl Into<String>) -> Problem {
        Problem { at, message: message.into(), severity: Severity::Warning }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.is_error() { "" } else { "warning: " };
        write!(f, "{}: {severity}{}", self.at, self.message)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(Problem::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// `; did you mean …?` if one of the names is close, else the names there are.
pub fn did_you_mean<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    // Two letters swapped count as one change; a longer name may have more of them.
    let close = names
        .iter()
        .map(|name| (strsim::osa_distance(typed, name), name))
        .filter(|(changes, _)| *changes <= 1 + typed.len() / 4)
        .min_by_key(|(changes, _)| *changes);
    match close {
        Some((_, name)) => format!("; did you mean `{name}`?"),
        None => format!("; there are {}", names.join(", ")),
    }
}
