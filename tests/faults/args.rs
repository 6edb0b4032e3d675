//! The command line.

use crate::{ROWS, Row};

const USAGE: &str = "\
usage: ./test faults [--row NAME]... [--store embedded|cql] [--rounds N] [--full]
  --row NAME   only this row; may be given again
  --store S    only rows over this store: the embedded one, or one in a real Cassandra
  --rounds N   each row so often, 1 unless given
  --full       the sizes for a long run: more devices, more kills, more logins";

/// What keeps the logs of a row's gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Embedded,
    /// A real Cassandra.
    Cql,
}

/// How big a round is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Seconds, for every change.
    Small,
    /// Minutes.
    Full,
}

impl Scale {
    /// The one or the other.
    pub fn pick<T>(self, small: T, full: T) -> T {
        match self {
            Scale::Small => small,
            Scale::Full => full,
        }
    }
}

/// What is to be run.
pub struct Args {
    names: Vec<String>,
    store: Option<Store>,
    pub rounds: usize,
    pub scale: Scale,
}

impl Args {
    /// Reads the words behind the program's name; `Err` is for the person who typed them.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
        let mut args = Args { names: Vec::new(), store: None, rounds: 1, scale: Scale::Small };
        while let Some(word) = words.next() {
            match word.as_str() {
                "--row" => args.names.push(row(words.next())?),
                "--store" => args.store = Some(store(words.next())?),
                "--rounds" => args.rounds = rounds(words.next())?,
                "--full" => args.scale = Scale::Full,
                other => return Err(format!("{other:?} is unknown\n{USAGE}")),
            }
        }
        if args.rows().next().is_none() {
            return Err(format!("no row of that name runs over that store\n{USAGE}"));
        }
        Ok(args)
    }

    /// The rows chosen; the usual ones of every store that is meant if none was named.
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> {
        let is_meant = |row: &&Row| match self.names.is_empty() {
            true => row.usual,
            false => self.names.iter().any(|name| name == row.name),
        };
        ROWS.iter().filter(is_meant).filter(|row| self.store.is_none_or(|store| store == row.store))
    }
}

fn store(word: Option<String>) -> Result<Store, String> {
    match word.unwrap_or_default().as_str() {
        "embedded" => Ok(Store::Embedded),
        "cql" => Ok(Store::Cql),
        _ => Err(format!("--store wants embedded or cql\n{USAGE}")),
    }
}

fn row(word: Option<String>) -> Result<String, String> {
    let names = ROWS.each_ref().map(|row| row.name).join(", ");
    let word = word.unwrap_or_default().to_uppercase();
    let known = ROWS.iter().any(|row| row.name == word);
    if known { Ok(word) } else { Err(format!("--row wants one of {names}\n{USAGE}")) }
}

fn rounds(word: Option<String>) -> Result<usize, String> {
    let rounds = word.and_then(|word| word.parse().ok()).filter(|rounds| *rounds > 0);
    rounds.ok_or_else(|| format!("--rounds wants a number from 1 on\n{USAGE}"))
}
