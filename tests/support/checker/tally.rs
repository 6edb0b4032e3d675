//! What a long run comes to in two numbers.

use std::collections::HashMap;

use super::{Violation, check};
use crate::support::history::{Event, History};

/// What was lost, and what came twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Violations of any invariant but that a message is stored once.
    pub lost: Vec<String>,
    /// Messages stored twice, and messages that an SDK showed twice.
    pub duplicated: Vec<String>,
}

impl Tally {
    /// Of a history whose devices are SDKs: what they show is free of repeats already.
    pub fn of(history: &History) -> Tally {
        let found = check(history);
        let (twice, lost): (Vec<&Violation>, Vec<&Violation>) =
            found.iter().partition(|violation| violation.rule == STORED_ONCE);
        let mut tally = Tally { lost: lost.iter().map(ToString::to_string).collect(), ..Tally::default() };
        tally.duplicated = twice.iter().map(ToString::to_string).chain(shown_twice(history)).collect();
        tally
    }
}

/// The rule of `one_seq_per_message`.
const STORED_ONCE: &str = "idempotent";

fn shown_twice(history: &History) -> Vec<String> {
    let mut times: HashMap<(u64, &str, u64), usize> = HashMap::new();
    for event in &history.events {
        if let Event::Saw { device, conversation, entry } = event {
            *times.entry((*device, conversation, entry.seq)).or_default() += 1;
        }
    }
    let more = times.into_iter().filter(|(_, times)| *times > 1);
    let said = more
        .map(|((device, room, seq), times)| format!("device {device:x} saw #{seq} of {room} {times} times"));
    let mut said: Vec<String> = said.collect();
    said.sort();
    said
}
