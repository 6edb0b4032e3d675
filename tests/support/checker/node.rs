//! What a gateway keeps while it runs: routes, cursors, bytes.

use std::collections::BTreeMap;

use super::{Violation, expect};
use crate::support::history::{Device, Entry, Event, History};

/// How long a connection may stand without a route: the time that closing takes, and some.
const UNROUTED_MS: u64 = 10_000;

/// Invariant 10: a device has at most one route, and a connection without one does not last.
pub fn live_connections_are_routed(history: &History) -> Vec<Violation> {
    const RULE: &str = "one live route";
    let (mut found, mut told) = (Vec::new(), Vec::new());
    for event in &history.events {
        let Event::Routed { device, connection, routes, unrouted_ms } = event else { continue };
        expect(&mut found, RULE, *routes <= 1, || format!("device {device:x} has {routes} routes"));
        if *unrouted_ms > UNROUTED_MS && !told.contains(&connection) {
            told.push(connection);
            expect(&mut found, RULE, false, || {
                format!("connection {connection} of device {device:x} has no route for {unrouted_ms} ms")
            });
        }
    }
    found
}

/// Invariant 11: cursors never fall and never pass the tip; unread is what tip, read cursor and own sends make it.
pub fn cursors_only_rise(history: &History) -> Vec<Violation> {
    const RULE: &str = "cursors only rise";
    let mut found = Vec::new();
    let mut marked: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    let mut told: BTreeMap<(Device, u64, &str, &str), (u64, u64)> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::Marked { conversation, user, read, delivered } => {
                let (reads, delivers) = marked.entry((conversation, user)).or_default();
                (*reads, *delivers) = ((*reads).max(*read), (*delivers).max(*delivered));
            }
            Event::CursorTold { device, connection, conversation, user, read, delivered } => {
                let before = told.entry((*device, *connection, conversation, user)).or_default();
                expect(&mut found, RULE, *read >= before.0 && *delivered >= before.1, || {
                    format!(
                        "{conversation}: device {device:x} was told that {user} read {read}, delivered \
                         {delivered}, after {} and {}",
                        before.0, before.1
                    )
                });
                *before = (before.0.max(*read), before.1.max(*delivered));
            }
            Event::FinalCursor { conversation, user, read, delivered, tip } => {
                let marks = marked.get(&(conversation.as_str(), user.as_str())).copied().unwrap_or_default();
                expect(&mut found, RULE, *read >= marks.0 && *delivered >= marks.1, || {
                    format!("{conversation}: {user} marked {marks:?}, stored are {:?}", (read, delivered))
                });
                expect(&mut found, RULE, read <= tip && delivered <= tip, || {
                    format!("{conversation}: the cursors of {user} are {read} and {delivered}, the tip {tip}")
                });
            }
            _ => {}
        }
    }
    found.extend(unread(history));
    found
}

/// unread = tip − max(read cursor, own last send), without the entries that are not for showing.
fn unread(history: &History) -> Vec<Violation> {
    const RULE: &str = "cursors only rise";
    let (mut found, mut users) = (Vec::new(), BTreeMap::new());
    let mut logs: BTreeMap<&str, &[Entry]> = BTreeMap::new();
    let mut silent: BTreeMap<&str, &[u64]> = BTreeMap::new();
    for event in &history.events {
        match event {
            Event::Follows { device, user, .. } => drop(users.insert(*device, user.as_str())),
            Event::Final { conversation, entries } => drop(logs.insert(conversation, entries)),
            Event::Silent { conversation, seqs } => drop(silent.insert(conversation, seqs)),
            _ => {}
        }
    }
    for event in &history.events {
        let Event::Unread { device, user, conversation, tip, read, unread } = event else { continue };
        let log = logs.get(conversation.as_str()).copied().unwrap_or_default();
        let silent = silent.get(conversation.as_str()).copied().unwrap_or_default();
        let own = log.iter().filter(|entry| entry.seq <= *tip && !silent.contains(&entry.seq));
        let own = own.filter(|entry| users.get(&entry.device).is_some_and(|sender| sender == user));
        let sent = own.map(|entry| entry.seq).max().unwrap_or_default();
        let unseen = sent.max(*read) + 1..=*tip;
        let expected = unseen.filter(|seq| !silent.contains(seq)).count() as u64;
        expect(&mut found, RULE, *unread == expected, || {
            format!(
                "{conversation}: device {device:x} was told {unread} unread, but tip {tip}, read {read} and own \
                 last send {sent} make {expected}"
            )
        });
    }
    found
}

/// Invariant 12: what waits for a device in its gateway is bounded.
pub fn memory_is_bounded(history: &History) -> Vec<Violation> {
    const RULE: &str = "bounded memory";
    let mut found = Vec::new();
    for event in &history.events {
        if let Event::Held { device, bytes, bound } = event {
            expect(&mut found, RULE, bytes <= bound, || {
                format!("{bytes} bytes wait for device {device:x}, at most {bound} may")
            });
        }
    }
    found
}

/// Invariant 6, its other half: who comes back gets through. Everybody is online at rest, and every send is settled.
pub fn everybody_comes_to_rest(history: &History) -> Vec<Violation> {
    const RULE: &str = "comes to rest";
    let mut found = Vec::new();
    for event in &history.events {
        if let Event::AtRest { device, online, unsettled } = event {
            expect(&mut found, RULE, *online, || format!("device {device:x} does not come back"));
            expect(&mut found, RULE, *unsettled == 0, || {
                format!("{unsettled} sends of device {device:x} are never settled")
            });
        }
    }
    found
}
