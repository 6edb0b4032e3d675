//! How messages, names and times look on a terminal.

use std::collections::HashMap;
use std::time::Duration;

use client::v1::{ConversationSummary, MembersChanged, NewMember};
use client::{Change, Message};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Names by user id; a user without one is called by the id.
pub type Names = HashMap<String, String>;

/// One message: time, seq, name and text; a user's own, which are shown once they are stored, are ticked. `None` for what is not for showing.
pub fn message(message: &Message, me: &str, names: &Names) -> Option<String> {
    if message.hidden {
        return None;
    }
    let when = time(message.at_ms);
    let seq = message.seq;
    if let Some(change) = message.change() {
        return Some(format!("{when} {seq:>5}   * {}", changed(change, message, names)));
    }
    if let Some(changed) = &message.members_changed {
        return Some(format!("{when} {seq:>5}   * {}", members_changed(changed, names)));
    }
    let own = if message.sender == me { "✓" } else { " " };
    let name = name(&message.sender, names);
    let text = body(message);
    let reply = message.replies_to().map(|seq| format!("(to {seq}) ")).unwrap_or_default();
    Some(format!("{when} {seq:>5} {own} {name}: {reply}{text}"))
}

fn body(message: &Message) -> String {
    if message.recalled {
        return "(recalled)".into();
    }
    message.text().map_or_else(|| format!("({})", plain(&message.content.kind)), plain)
}

fn changed(change: Change, message: &Message, names: &Names) -> String {
    let name = name(&message.sender, names);
    match change {
        Change::Edit(seq) => format!("{name} edited {seq}: {}", body(message)),
        Change::Recall(seq) => format!("{name} recalled {seq}"),
    }
}

/// One row of the list.
pub fn summary(number: usize, summary: &ConversationSummary, names: &Names) -> String {
    let title = title(summary, names);
    let unread = match summary.unread {
        0 => String::new(),
        unread => format!(" ({unread} unread)"),
    };
    let last = summary.last_message.as_ref().map(|message| last(message, names)).unwrap_or_default();
    format!("{number:>3}  {title}{unread}{last}")
}

/// A conversation's name: its title, the other user, or its id.
pub fn title(summary: &ConversationSummary, names: &Names) -> String {
    let title = summary.info.as_ref().map(|info| info.title.as_str()).unwrap_or_default();
    match (title, summary.peer.as_str()) {
        ("", "") => plain(&summary.conversation),
        ("", peer) => name(peer, names),
        (title, _) => plain(title),
    }
}

/// A user's name.
pub fn name(user: &str, names: &Names) -> String {
    plain(names.get(user).filter(|name| !name.is_empty()).map_or(user, String::as_str))
}

/// Text of others must not steer the terminal: control characters become spaces.
pub fn plain(text: &str) -> String {
    text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Hour and minute, with the date where it is not today's.
pub fn time(at_ms: i64) -> String {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return "--:--".into() };
    let zone = TimeZone::system();
    clock(&at.to_zoned(zone.clone()), &Timestamp::now().to_zoned(zone))
}

/// When the next attempt is made.
pub fn wait(wait: Duration) -> String {
    match wait.as_millis() {
        0..100 => "at once".into(),
        _ => format!("in {:.1} s", wait.as_secs_f32()),
    }
}

fn clock(at: &Zoned, now: &Zoned) -> String {
    let format = if at.date() == now.date() { "%H:%M" } else { "%Y-%m-%d %H:%M" };
    at.strftime(format).to_string()
}

fn last(message: &client::v1::Message, names: &Names) -> String {
    let content = message.content.clone().unwrap_or_default();
    let text = String::from_utf8_lossy(&content.data);
    let text = match (&message.members_changed, content.r#type.starts_with("text/")) {
        _ if message.recalled => format!("{}: (recalled)", name(&message.sender, names)),
        (Some(changed), _) => members_changed(changed, names),
        (None, true) => format!("{}: {}", name(&message.sender, names), shorten(&plain(&text))),
        (None, false) => format!("({})", plain(&content.r#type)),
    };
    format!("  — {} {text}", time(message.at_ms))
}

fn shorten(text: &str) -> String {
    const MOST: usize = 48;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn members_changed(changed: &MembersChanged, names: &Names) -> String {
    let added: Vec<String> = changed.added.iter().map(|NewMember { user, .. }| name(user, names)).collect();
    let removed: Vec<String> = changed.removed.iter().map(|user| name(user, names)).collect();
    match (added.is_empty(), removed.is_empty()) {
        (false, true) => format!("{} joined", added.join(", ")),
        (true, false) => format!("{} left", removed.join(", ")),
        _ => format!("{} joined, {} left", added.join(", "), removed.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\r\nc\n"), "a [2Jb  c");
        let names = Names::from([("eve".into(), "Eve\x07".into())]);
        assert_eq!(name("eve", &names), "Eve ");
        assert_eq!(name("bob", &names), "bob");
    }

    #[test]
    fn only_another_day_shows_its_date() {
        let at: Zoned = "2026-11-21T09:05:00[UTC]".parse().unwrap();
        let later: Zoned = "2026-11-22T00:00:00[UTC]".parse().unwrap();
        assert_eq!(clock(&at, &at), "09:05");
        assert_eq!(clock(&at, &later), "2026-11-21 09:05");
    }

    #[test]
    fn short_waits_are_none() {
        assert_eq!(wait(Duration::from_millis(40)), "at once");
        assert_eq!(wait(Duration::from_millis(1250)), "in 1.2 s");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shorten("kurz"), "kurz");
        assert_eq!(shorten(&"ä".repeat(60)).chars().count(), 49);
    }
}
