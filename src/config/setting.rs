//! A value: how each type reads from TOML and is written.

use std::fmt;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::DeValue;

use super::problem::did_you_mean;
use super::section::Section;

/// A value as it stands in the source.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// Something wrong with a value, and the bytes of the source that are meant.
#[derive(Debug, PartialEq)]
pub struct Fault {
    pub span: Range<usize>,
    pub message: String,
}

/// A type that a configuration value may have.
pub trait Setting: Sized {
    /// Reads a value. The message says what is expected, never what a secret is.
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>>;
    /// The value as TOML.
    fn show(&self) -> String;
}

/// An address to listen on; off where it is `""`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listen(pub Option<SocketAddr>);

/// A file or directory; unset where it is `""`. A relative one starts at the working directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePath(Option<PathBuf>);

/// A text that must not be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// Whether unencrypted connections from other machines are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plaintext {
    #[default]
    Refuse,
    Allow,
}

/// What one device too many does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kick {
    #[default]
    KickOldest,
    Refuse,
}

/// What keeps the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    #[default]
    Embedded,
    Cql,
}

/// How many replicas have a write before it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    #[default]
    Global,
    Local,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A number inside `range`.
pub fn within<N: PartialOrd + fmt::Display>(
    number: N,
    range: RangeInclusive<N>,
    span: Range<usize>,
) -> Result<N, Vec<Fault>> {
    if range.contains(&number) {
        return Ok(number);
    }
    let message = format!("{number} is out of range; use {} to {}", range.start(), range.end());
    fault(span, message)
}

/// A range for people.
pub fn range_text<N: fmt::Display>(range: &RangeInclusive<N>) -> String {
    format!("{} to {}", range.start(), range.end())
}

impl Setting for String {
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
        text(value).map(str::to_owned)
    }

    fn show(&self) -> String {
        toml::Value::from(self.as_str()).to_string()
    }
}

macro_rules! number {
    ($($type:ty)+) => {$(
        impl Setting for $type {
            fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
                let DeValue::Integer(number) = value.get_ref() else { return wrong(value, "a whole number") };
                <$type>::from_str_radix(number.as_str(), number.radix())
                    .or_else(|_| wrong(value, &format!("a whole number from {} to {}", <$type>::MIN, <$type>::MAX)))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+};
}
number! { u16 u32 u64 usize }

impl Setting for Listen {
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
        const EXPECTED: &str =
            "an IP address and a port such as \"127.0.0.1:7400\" or \"[::1]:7400\", or \"\" for off";
        match text(value)? {
            "" => Ok(Listen(None)),
            address => {
                address.parse().map(|address| Listen(Some(address))).or_else(|_| wrong(value, EXPECTED))
            }
        }
    }

    fn show(&self) -> String {
        self.0.map(|address| address.to_string()).unwrap_or_default().show()
    }
}

impl FilePath {
    /// The path, if set.
    pub fn get(&self) -> Option<&Path> {
        self.0.as_deref()
    }

    /// Lets a relative path start at `dir`.
    pub fn start_at(&mut self, dir: &Path) {
        if let Some(path) = &mut self.0 {
            *path = dir.join(&*path);
        }
    }
}

impl From<&str> for FilePath {
    fn from(path: &str) -> FilePath {
        FilePath(Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty()))
    }
}

impl Setting for FilePath {
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
        text(value).map(FilePath::from)
    }

    fn show(&self) -> String {
        self.get().unwrap_or(Path::new("")).display().to_string().show()
    }
}

impl Secret {
    /// The text itself. Whoever calls this keeps it out of logs and messages.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(unset)" } else { "Secret(…)" })
    }
}

impl Setting for Secret {
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
        text(value).map(|secret| Secret(secret.to_owned()))
    }

    fn show(&self) -> String {
        "\"\"".into()
    }
}

/// A setting that is one of a few words.
macro_rules! words {
    ($($type:ident { $($variant:ident = $word:literal),+ })+) => {$(
        impl Setting for $type {
            fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
                one_of(value, &[$(($word, $type::$variant)),+])
            }

            fn show(&self) -> String {
                match self { $($type::$variant => concat!("\"", $word, "\"").into()),+ }
            }
        }
    )+};
}
words! {
    Plaintext { Refuse = "refuse", Allow = "allow" }
    Kick { KickOldest = "kick-oldest", Refuse = "refuse" }
    Backend { Embedded = "embedded", Cql = "cql" }
    Consistency { Global = "global", Local = "local" }
    LogFormat { Text = "text", Json = "json" }
}

impl Setting for Vec<String> {
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
        let DeValue::Array(array) = value.get_ref() else {
            return wrong(value, "a list of texts: [\"a\", \"b\"]");
        };
        array.iter().map(String::read).collect()
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(Setting::show).collect::<Vec<_>>().join(", "))
    }
}

/// A list of tables (`[[section.name]]`). Every fault of every table is reported.
impl<T: Section + Default> Setting for Vec<T> {
    fn read(value: &Value<'_>) -> Result<Self, Vec<Fault>> {
        let DeValue::Array(array) = value.get_ref() else { return wrong(value, "a list of tables") };
        let mut faults = Vec::new();
        let mut list = Vec::new();
        for element in array {
            let mut entry = T::default();
            match element.get_ref() {
                DeValue::Table(table) => faults.extend(fill(&mut entry, table)),
                _ => faults.extend(wrong::<()>(element, "a table").err().unwrap_or_default()),
            }
            list.push(entry);
        }
        if faults.is_empty() { Ok(list) } else { Err(faults) }
    }

    fn show(&self) -> String {
        "[]".into()
    }
}

/// Sets every key of a table; returns what is wrong with it.
pub fn fill(section: &mut dyn Section, table: &toml::de::DeTable<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, value) in table {
        match section.set(key.get_ref(), value) {
            Some(Ok(())) => {}
            Some(Err(found)) => faults.extend(found),
            None => faults
                .push(Fault { span: key.span(), message: unknown(section, key.get_ref(), "this table") }),
        }
    }
    faults
}

/// The message for a key that a section does not have.
pub fn unknown(section: &dyn Section, key: &str, place: &str) -> String {
    let fields = section.fields();
    format!("unknown key `{key}` in {place}{}", did_you_mean(key, fields.iter().map(|field| field.name)))
}

fn text<'v>(value: &'v Value<'_>) -> Result<&'v str, Vec<Fault>> {
    value.get_ref().as_str().map_or_else(|| wrong(value, "a text in quotes"), Ok)
}

fn one_of<T: Copy>(value: &Value<'_>, known: &[(&str, T)]) -> Result<T, Vec<Fault>> {
    let name = text(value)?;
    let found = known.iter().find(|(known, _)| *known == name);
    let names = known.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
    found.map_or_else(|| wrong(value, &names), |(_, value)| Ok(*value))
}

fn wrong<T>(value: &Value<'_>, expected: &str) -> Result<T, Vec<Fault>> {
    fault(value.span(), format!("expected {expected}"))
}

fn fault<T>(span: Range<usize>, message: String) -> Result<T, Vec<Fault>> {
    Err(vec![Fault { span, message }])
}
