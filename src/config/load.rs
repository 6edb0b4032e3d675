//! The three sources, merged: file < environment < flags.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::origin::{Origin, Origins};
use super::problem::{Problem, did_you_mean};
use super::sections::Config;
use super::setting::{Fault, Value, unknown};

/// Variables with this prefix and a `__` set values: `WHIMBREL_TCP__LISTEN`.
const PREFIX: &str = "WHIMBREL_";
/// Sets `node.workers`; known beside `WHIMBREL_NODE__WORKERS`.
const WORKERS: &str = "WHIMBREL_WORKERS";

/// What to read. `Default` reads nothing.
#[derive(Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub environment: Vec<(String, String)>,
    /// `(flag as typed, section.key, value)`.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration and where each value came from.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub config: Config,
    pub origins: Origins,
}

/// Reads all sources. What cannot be read keeps its default and is a problem; no problem hides another.
pub fn load(sources: &Sources) -> (Loaded, Vec<Problem>) {
    let mut loader = Loader::default();
    if let Some(path) = &sources.file {
        loader.file(path);
        loader.sort();
        loader.loaded.config.start_files_at(path.parent().unwrap_or(Path::new("")));
    }
    for (name, text) in &sources.environment {
        loader.variable(name, text);
    }
    for (flag, key, text) in &sources.flags {
        loader.text(key, text, Origin::Flag(flag.clone()));
    }
    (loader.loaded, loader.problems)
}

/// The process's own environment. Variables that are not UTF-8 are not ours.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect()
}

#[derive(Default)]
struct Loader {
    loaded: Loaded,
    problems: Vec<Problem>,
}

impl Loader {
    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        self.loaded.origins.whole = Origin::File(name.clone());
        match std::fs::read_to_string(path) {
            Ok(text) => self.document(&name, &text),
            Err(error) => {
                let hint = "`whimbrel config default > whimbrel.toml` writes one to start from";
                self.problems
                    .push(Problem::error(Origin::File(name), format!("cannot be read: {error}; {hint}")));
            }
        }
    }

    fn document(&mut self, name: &str, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let at = Origin::of_span(name, text, &error.span().unwrap_or(0..0));
            self.problems.push(Problem::error(at, error.message().trim().replace('\n', "; ")));
        }
        let at = |span| Origin::of_span(name, text, &span);
        for (section, values) in document.get_ref() {
            match values.get_ref() {
                DeValue::Table(table) => {
                    for (key, value) in table {
                        self.value(section, key, value, &at);
                    }
                    if table.is_empty() {
                        self.known_section(section.get_ref(), at(section.span()));
                    }
                }
                _ => self.not_a_section(section.get_ref(), at(section.span())),
            }
        }
    }

    fn value(
        &mut self,
        section: &Spanned<DeString<'_>>,
        key: &Spanned<DeString<'_>>,
        value: &Value<'_>,
        at: &dyn Fn(std::ops::Range<usize>) -> Origin,
    ) {
        if !self.known_section(section.get_ref(), at(section.span())) {
            return;
        }
        let path = format!("{section}.{key}", section = section.get_ref(), key = key.get_ref());
        self.loaded.origins.note(&path, at(value.span()));
        for (index, element) in value.get_ref().as_array().into_iter().flatten().enumerate() {
            self.loaded.origins.note(format!("{path}[{index}]"), at(element.span()));
        }
        match self.set(section.get_ref(), key.get_ref(), value) {
            Ok(()) => {}
            Err(None) => self.unknown_key(section.get_ref(), key.get_ref(), at(key.span())),
            Err(Some(faults)) => {
                let problems = faults.into_iter().map(|fault| {
                    Problem::error(at(fault.span.clone()), format!("{path}: {}", fault.message))
                });
                self.problems.extend(problems);
            }
        }
    }

    // Tables come by name, problems are read by line.
    fn sort(&mut self) {
        self.problems.sort_by_key(|problem| match &problem.at {
            Origin::Line { line, column, .. } => (*line, *column),
            _ => (0, 0),
        });
    }

    fn variable(&mut self, name: &str, text: &str) {
        let origin = Origin::Environment(name.to_owned());
        if name == WORKERS {
            return self.text("node.workers", text, origin);
        }
        let path = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__"));
        if let Some((section, key)) = path {
            self.text(&format!("{}.{}", section.to_lowercase(), key.to_lowercase()), text, origin);
        } else {
            self.one_underscore(name, origin);
        }
    }

    // A name that only lacks the second underscore is almost certainly meant.
    fn one_underscore(&mut self, name: &str, origin: Origin) {
        let parts = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
        let Some((section, key)) = parts else { return };
        let known = self.loaded.config.section_mut(&section.to_lowercase());
        if known.is_some_and(|known| known.fields().iter().any(|field| field.name == key.to_lowercase())) {
            let message = format!("sets nothing; did you mean {PREFIX}{section}__{key}?");
            self.problems.push(Problem::warning(origin, message));
        }
    }

    // A text from outside a file: taken as it stands where the value is a text, as TOML where it is not.
    fn text(&mut self, path: &str, text: &str, origin: Origin) {
        let Some((section, key)) = path.split_once('.') else {
            let message = format!("`{path}` is not section.key, for example tcp.listen");
            return self.problems.push(Problem::error(origin, message));
        };
        if !self.known_section(section, origin.clone()) {
            return;
        }
        let literal = Spanned::new(0..text.len(), DeValue::String(text.into()));
        let parsed = DeValue::parse(text).ok();
        let outcome = match self.set(section, key, &literal) {
            Err(Some(faults)) => parsed.map_or(Err(Some(faults)), |value| self.set(section, key, &value)),
            outcome => outcome,
        };
        match outcome {
            Ok(()) => self.loaded.origins.note(path, origin),
            Err(None) => self.unknown_key(section, key, origin),
            Err(Some(faults)) => {
                let problems = faults
                    .into_iter()
                    .map(|fault| Problem::error(origin.clone(), format!("{path}: {}", fault.message)));
                self.problems.extend(problems);
            }
        }
    }

    // `Err(None)` for a key that is not there.
    fn set(&mut self, section: &str, key: &str, value: &Value<'_>) -> Result<(), Option<Vec<Fault>>> {
        let section = self.loaded.config.section_mut(section).ok_or(None)?;
        section.set(key, value).ok_or(None)?.map_err(Some)
    }

    fn known_section(&mut self, name: &str, at: Origin) -> bool {
        let known = Config::SECTIONS.contains(&name);
        if !known {
            let hint = did_you_mean(name, Config::SECTIONS.into_iter());
            let problem = Problem::error(at, format!("unknown section `{name}`{hint}"));
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        known
    }

    fn not_a_section(&mut self, name: &str, at: Origin) {
        if self.known_section(name, at.clone()) {
            let message = format!("`{name}` is a section; write [{name}] on a line of its own");
            self.problems.push(Problem::error(at, message));
        }
    }

    fn unknown_key(&mut self, section: &str, key: &str, at: Origin) {
        if let Some(known) = self.loaded.config.section_mut(section) {
            let message = unknown(known, key, &format!("[{section}]"));
            self.problems.push(Problem::error(at, message));
        }
    }
}
