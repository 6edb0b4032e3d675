//! Faults planted in what becomes of edits and recalls, in presence, and in the end of a gateway.

use super::planted::{broken, final_log};
use super::*;
use crate::support::history::{Presence, Standing};

/// The good history, in which 5 edits 2, and 6 recalls 4; both are Alice's, and everybody saw them.
fn changed() -> History {
    let mut h = good();
    h.events.retain(|event| !matches!(event, Event::CaughtUp { .. }));
    for (n, meaning) in [(5, Meaning::Edit(2)), (6, Meaning::Recall(4))] {
        acked(&mut h, ALICE, n, u64::from(n), false);
        let entry = Entry { meaning, ..entry(u64::from(n), ALICE, n) };
        final_log(&mut h).push(entry.clone());
        saw(&mut h, ALICE, entry.clone());
        saw(&mut h, BOB, entry);
    }
    h
}

fn with(events: impl IntoIterator<Item = Event>) -> Vec<u8> {
    let mut h = changed();
    events.into_iter().for_each(|event| h.push(event));
    broken(&h)
}

const OP: usize = 99;

fn asks() -> Event {
    Event::Asks { op: OP, device: BOB }
}

fn serves(entries: &[(u64, bool)]) -> Event {
    Event::Serves { op: OP, conversation: ROOM.into(), entries: entries.to_vec() }
}

#[test]
fn recalled_content_that_is_served() {
    assert_eq!(with([asks(), serves(&[(2, false), (4, true), (5, false), (6, false)])]), []);
    assert_eq!(with([asks(), serves(&[(4, false)])]), [8]);
    assert_eq!(with([asks(), serves(&[(2, true)])]), [8], "nobody recalled it");
    let mut early = changed();
    let recall =
        early.events.iter().position(|event| matches!(event, Event::SendInvoked { id, .. } if id[0] == 6));
    early.events.insert(recall.unwrap(), asks());
    early.push(serves(&[(4, false)]));
    assert_eq!(broken(&early), [], "the read had begun before");
}

#[test]
fn an_edit_of_what_was_recalled() {
    let mut h = changed();
    final_log(&mut h)[4].meaning = Meaning::Edit(4);
    h.events.retain(|event| !matches!(event, Event::Saw { entry, .. } if entry.seq == 5));
    h.push(asks());
    h.push(serves(&[(5, true)]));
    assert!(!broken(&h).contains(&8));
    h.events.pop();
    h.push(serves(&[(5, false)]));
    assert!(broken(&h).contains(&8));
}

#[test]
fn a_list_with_another_last_message_or_another_edit() {
    let lists = |tip, seq, n: u8, recalled, edited| {
        let body = if recalled { Vec::new() } else { vec![n] };
        let last = Some(Entry { body, recalled, ..entry(seq, ALICE, n) });
        let (user, conversation) = ("bob".to_owned(), ROOM.to_owned());
        [asks(), Event::Lists { op: OP, user, conversation, tip, last, edited }]
    };
    assert_eq!(with(lists(6, 4, 3, true, 0)), []);
    assert_eq!(with(lists(6, 4, 3, false, 0)), [8], "it was recalled");
    assert_eq!(with(lists(6, 6, 6, false, 0)), [8], "a recall is not for showing");
    let mut h = changed();
    for (at, meaning) in [(2, Meaning::Hidden), (3, Meaning::Hidden), (5, Meaning::Hidden)] {
        final_log(&mut h)[at].meaning = meaning;
    }
    let with = |events: [Event; 2]| {
        let mut h = h.clone();
        h.events.extend(events);
        broken(&h).contains(&8)
    };
    assert!(!with(lists(6, 2, 5, false, 5)));
    assert!(with(lists(6, 2, 1, false, 0)), "its edit is older than the list");
    assert!(with(lists(6, 2, 1, false, 5)), "it is not the edit's content");
    assert!(with(lists(6, 2, 3, false, 4)), "that is no edit of it");
    assert!(!with(lists(4, 2, 1, false, 0)), "the edit came later");
    assert!(!with(lists(4, 2, 5, false, 5)), "it came while the list was read");
}

#[test]
fn who_may_not_write() {
    let members = || {
        let users = ["alice", "bob"].map(str::to_owned).to_vec();
        Event::FinalMembers { conversation: ROOM.into(), users }
    };
    assert_eq!(with([members()]), []);
    let with = |spoil: fn(&mut Vec<Entry>)| {
        let mut h = changed();
        h.push(members());
        spoil(final_log(&mut h));
        broken(&h).contains(&9)
    };
    assert!(with(|log| log[4].device = BOB), "an edit by somebody else");
    assert!(!with(|log| log[5].device = BOB), "whether Bob may recall is not known here");
    assert!(with(|log| log[5].meaning = Meaning::Recall(5)), "an edit is recalled");
    assert!(with(|log| log[4].meaning = Meaning::Edit(1)), "a change of members is edited");
    assert!(with(|log| log[4].meaning = Meaning::Edit(7)), "there is no such message");
    assert!(with(|log| log.push(Entry { meaning: Meaning::Edit(4), ..entry(7, ALICE, 7) })));
    let mut h = changed();
    h.push(members());
    for event in &mut h.events {
        if let Event::Entitled { user, to, .. } = event
            && user == "alice"
        {
            *to = 5;
        }
    }
    assert!(broken(&h).contains(&9), "Alice had left");
}

#[test]
fn a_device_that_shows_something_else() {
    let shows = |two: u8, four: Option<u8>| {
        let row = |seq, n: u8| (seq, Some(vec![n]));
        let rows = vec![row(1, 0), row(2, two), row(3, 2), (4, four.map(|n| vec![n]))];
        let (user, conversation) = ("alice".to_owned(), ROOM.to_owned());
        [Event::Rendered { device: ALICE, user, conversation, rows }]
    };
    assert_eq!(with(shows(5, None)), []);
    assert_eq!(with(shows(1, None)), [6], "the edit is missing");
    assert_eq!(with(shows(5, Some(3))), [6], "the recall is missing");
    let mut h = changed();
    h.events.retain(|event| !matches!(event, Event::Saw { device: ALICE, entry, .. } if entry.seq == 5));
    h.events.extend(shows(1, None));
    assert!(!h.events.is_empty() && !check(&h).iter().any(|found| found.rule.starts_with("shows")));
}

fn stream(standings: &[(u64, &str, Standing, u64)]) -> Vec<Presence> {
    let event = |&(seq, user, standing, epoch): &(u64, &str, Standing, u64)| {
        let user = user.to_owned();
        Presence { seq, user, standing, epoch }
    };
    standings.iter().map(event).collect()
}

#[test]
fn a_presence_stream_with_a_fault() {
    use Standing::{Away, Offline, Online};
    let with = |events: &[(u64, &str, Standing, u64)], stored: Standing, at_rest: Standing| {
        let (tenant, user) = ("t".to_owned(), "ann".to_owned());
        let standings = vec![(user.clone(), stored)];
        let events = stream(events);
        with([
            Event::FinalPresence { tenant: tenant.clone(), events, standings },
            Event::PresentAtRest { tenant, user, standing: at_rest },
        ])
    };
    let good = [(1, "ann", Online, 1), (2, "ann", Away, 1), (3, "ann", Offline, 2)];
    assert_eq!(with(&good, Offline, Offline), []);
    assert_eq!(with(&good, Offline, Online), [13], "Ann is there");
    assert_eq!(with(&good, Online, Offline), [13], "her standing is an old one");
    assert_eq!(with(&good[1..], Offline, Offline), [13], "a hole");
    assert_eq!(with(&[good[0], (2, "ann", Online, 1)], Online, Online), [13], "said twice");
    assert_eq!(with(&[(1, "ann", Offline, 1)], Offline, Offline), [13], "nobody begins by leaving");
    assert_eq!(with(&[(1, "ann", Online, 2), (2, "ann", Away, 1)], Away, Away), [13], "the epoch falls");
}

#[test]
fn who_is_there_is_said_to_be_offline() {
    let said = |reachable_ms| Event::SaidOffline { user: "t/ann".into(), device: ALICE, reachable_ms };
    assert_eq!(with([said(15_000)]), [], "what was known before may be told late");
    assert_eq!(with([said(15_001)]), [13]);
}

#[test]
fn a_read_of_the_presence_stream_that_differs() {
    let all = stream(&[(1, "ann", Standing::Online, 1), (2, "bob", Standing::Away, 1)]);
    let standings = vec![("ann".to_owned(), Standing::Online), ("bob".to_owned(), Standing::Away)];
    let asked = |op| Event::StreamAsked { op, tenant: "t".into() };
    let read = |op, after, tip, events: &[Presence]| Event::StreamRead {
        op,
        after,
        limit: 9,
        tip,
        events: events.to_vec(),
    };
    let with = |events: Vec<Event>| {
        let last =
            Event::FinalPresence { tenant: "t".into(), events: all.clone(), standings: standings.clone() };
        with(events.into_iter().chain([last]))
    };
    assert_eq!(with(vec![asked(1), read(1, 0, 2, &all), asked(2), read(2, 1, 2, &all[1..])]), []);
    assert_eq!(with(vec![asked(1), asked(2), read(1, 0, 2, &all), read(2, 0, 1, &all[..1])]), []);
    assert_eq!(with(vec![asked(1), read(1, 0, 2, &all), asked(2), read(2, 0, 1, &all[..1])]), [13]);
    assert_eq!(with(vec![asked(1), read(1, 0, 2, &all[..1])]), [13], "the last event is missing");
    assert_eq!(with(vec![asked(1), read(1, 0, 2, &[all[1].clone(), all[0].clone()])]), [13]);
}

#[test]
fn a_drain_that_is_not_soft() {
    let away = |told| Event::SentAway { device: BOB, connection: 1, told };
    assert_eq!(with([away(true)]), []);
    assert_eq!(with([away(false)]), [14]);
    let refused = |code, retryable| Event::RefusedInDrain { device: BOB, code, retryable };
    assert_eq!(with([refused(504, true), refused(301, false)]), []);
    assert_eq!(with([refused(504, false)]), [14]);
    assert_eq!(with([refused(305, false)]), [14]);
}
