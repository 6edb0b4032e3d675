//! Whether who is online learns what there is.

use std::collections::BTreeMap;

use super::rights::Rights;
use super::{Violation, expect};
use crate::support::history::{Device, Event, History, Millis};

/// How long a reachable member may know nothing of a committed message.
pub const WITHIN_MS: Millis = 30_000;

/// Invariant 7: a member's device that is reachable learns the tip within 30 s of its commit, or of becoming
/// reachable, even if the push was lost.
pub fn the_tip_is_learned(history: &History) -> Vec<Violation> {
    const RULE: &str = "no lost tail";
    let (mut found, rights) = (Vec::new(), Rights::of(history));
    let (reaches, learned) = (reaches(history), learned(history));
    for event in &history.events {
        let Event::Committed { conversation, tip, at } = event else { continue };
        for (device, (user, spans)) in &reaches {
            if !rights.was_member(conversation, user, *tip) || !rights.was_member(conversation, user, tip + 1)
            {
                // Who leaves by this very entry is no longer owed the tip.
                continue;
            }
            let knows = learned.get(&(*device, conversation.as_str()));
            let first = knows.and_then(|told| told.iter().find(|(_, known)| known >= tip)).map(|told| told.0);
            let late = spans.iter().find(|(from, to)| {
                let due = from.max(at) + WITHIN_MS;
                due <= *to && first.is_none_or(|first| first > due)
            });
            expect(&mut found, RULE, late.is_none(), || {
                let (from, to) = late.copied().unwrap_or_default();
                format!(
                    "{conversation} #{tip} was committed at {at} ms; device {device:x} of {user}, reachable from \
                     {from} to {to} ms, learned of it {}",
                    first.map_or("never".to_owned(), |first| format!("at {first} ms"))
                )
            });
        }
    }
    found
}

/// Device → its user and when it was reachable.
type Reaches<'a> = BTreeMap<Device, (&'a str, Vec<(Millis, Millis)>)>;

fn reaches(history: &History) -> Reaches<'_> {
    let mut reaches: Reaches<'_> = BTreeMap::new();
    let mut last = 0;
    for event in &history.events {
        match event {
            Event::Reach { device, user, reachable, at } => {
                last = *at;
                let (_, spans) = reaches.entry(*device).or_insert((user, Vec::new()));
                match (reachable, spans.last_mut()) {
                    (true, _) => spans.push((*at, Millis::MAX)),
                    (false, Some(open)) => open.1 = *at,
                    (false, None) => {}
                }
            }
            Event::Learned { at, .. } | Event::Committed { at, .. } => last = *at,
            _ => {}
        }
    }
    // The run ends for everybody when the last thing was noted.
    let open = reaches.values_mut().flat_map(|(_, spans)| spans).filter(|span| span.1 == Millis::MAX);
    open.for_each(|span| span.1 = last.max(span.0));
    reaches
}

/// What a device learned of a conversation: when, and the highest tip so far.
fn learned(history: &History) -> BTreeMap<(Device, &str), Vec<(Millis, u64)>> {
    let mut learned: BTreeMap<(Device, &str), Vec<(Millis, u64)>> = BTreeMap::new();
    for event in &history.events {
        if let Event::Learned { device, conversation, tip, at } = event {
            learned.entry((*device, conversation)).or_default().push((*at, *tip));
        }
    }
    learned
}
