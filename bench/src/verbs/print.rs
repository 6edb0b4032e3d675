//! Figures for people.

use crate::measure::figures::{Spread, name};
use crate::report::record::Record;
use crate::work::{Load, Settings, Work, settled};

/// Prints what is known of one kind of work: medians and, where there were several rounds, from where to where they
/// went.
pub fn figures(label: &str, work: &Work, record: &Record, settings: &Settings) {
    let spreads = record.spreads(label);
    let rounds = record.rounds_of(label);
    let marked = if record.error.is_some() { ", PARTIAL: it did not end well" } else { "" };
    println!("{label:22} {}, {rounds} rounds{marked}", describe(work, settings));
    if rounds == 0 {
        return;
    }
    let one = |figure: &str| spreads.get(figure);
    let line = |title: &str, text: String| println!("{title:22} {text}");
    for (title, figure, unit, scale) in LINES {
        if let Some(spread) = one(figure) {
            line(title_of(title, work), format!("{}{unit}", told(spread, *scale)));
        }
    }
    for (title, p50, p99) in
        [("send -> delivery", name::P50, name::P99), ("send -> ack", name::ANSWER_P50, name::ANSWER_P99)]
    {
        if let (Some(p50), Some(p99)) = (one(p50), one(p99)) {
            let (p50, p99) = (told(p50, 0.001), told(p99, 0.001));
            line(latency_title(title, work), format!("p50 {p50} ms  p99 {p99} ms"));
        }
    }
    let others = one(name::OTHERS).map_or(0.0, |spread| spread.most);
    let busy = if others > settled::MOST_OTHERS { ": a busy machine, trust the ratios only" } else { "" };
    line("others", format!("at most {others:.0} % of the machine{busy}"));
    if record.error.is_none() && !matches!(work.load, Load::Append { .. }) {
        line("checked", checked(work).into());
    }
}

const GIB: f64 = 1.0 / (1 << 30) as f64;

/// Title, figure, unit, and what to multiply it with.
const LINES: &[(&str, &str, &str, f64)] = &[
    ("rate", name::PER_SECOND, "/s", 1.0),
    ("acknowledged", name::ACCEPTED, "/s", 1.0),
    ("per connection", name::BYTES, " B", 1.0),
    ("memory in use", name::IN_USE, " GiB of the machine", GIB),
    ("before", name::IN_USE_BEFORE, " GiB", GIB),
    ("generator", name::LOAD_BYTES, " B for each", 1.0),
    ("all reached", name::REACH_SECONDS, " s after the first was told", 1.0),
    ("server CPU", name::CPU, " µs each (= seconds per million)", 1.0),
    ("CPU of a resumption", name::RESUME_CPU, " µs", 1.0),
    ("resumed", name::RESUMED, " devices", 1.0),
    ("sent away", name::SENT_AWAY, " times, to come back later", 1.0),
    ("between nodes", name::LINK_BYTES, " B for each", 1.0),
    ("frames a write", name::FRAMES, "", 1.0),
    ("appends a commit", name::APPENDS, "", 1.0),
    ("entries a commit", name::ENTRIES, "", 1.0),
    ("pulled", name::PULLED, " times a device was behind", 1.0),
    ("repeated", name::REPEATED, " copies", 1.0),
];

fn title_of<'a>(title: &'a str, work: &Work) -> &'a str {
    match (title, &work.load) {
        ("rate", Load::Idle { .. } | Load::Reach { .. } | Load::Logins { .. } | Load::Storm { .. }) => {
            "logins"
        }
        ("rate", Load::Accepts { .. }) => "accepts",
        ("rate", Load::Append { .. }) => "records",
        ("rate", Load::Read { .. }) => "reads",
        ("rate", Load::Scribes { .. }) => "stored",
        ("rate", _) => "delivered",
        (title, _) => title,
    }
}

fn latency_title<'a>(title: &'a str, work: &Work) -> &'a str {
    match work.load {
        Load::Append { .. } => "commit",
        Load::Read { .. } => "read",
        Load::Scribes { .. } => "send -> ack",
        _ => title,
    }
}

fn told(spread: &Spread, scale: f64) -> String {
    let number = |value: f64| match value * scale {
        value if value.abs() >= 100.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    };
    match spread.least == spread.most {
        true => number(spread.median),
        false => format!("{} ({} to {})", number(spread.median), number(spread.least), number(spread.most)),
    }
}

/// What was loaded with what.
pub fn describe(work: &Work, settings: &Settings) -> String {
    let (bytes, transport) = (settings.bytes, work.transport.name());
    let load = match work.load {
        Load::Fanout { listeners, idle, stalled, pace, stored } => {
            let beside = match (idle, stalled) {
                (0, 0) => String::new(),
                (idle, 0) => format!(", {idle} idle beside"),
                (_, stalled) => format!(", {stalled} stalled beside"),
            };
            format!("1 to {listeners}{beside}, {}, {bytes} B, {}", paced(pace), kept(stored))
        }
        Load::Stream { listeners, batch } => format!("to {listeners}, {batch} frames a write, {bytes} B"),
        Load::Pairs { pairs, pace, stored, .. } => {
            format!("{pairs} pairs, {}, {bytes} B, {}", paced(pace), kept(stored))
        }
        Load::Scribes { scribes, conversations, in_flight } => {
            format!(
                "{scribes} senders, {in_flight} in flight, {conversations} conversations, {bytes} B, stored"
            )
        }
        Load::Read { readers, messages, page, pace } => {
            format!("{readers} readers, {}, pages of {page} from {messages} of {bytes} B", paced(pace))
        }
        Load::Idle { connections } => format!("{connections} idle connections"),
        Load::Reach { devices, hold } => {
            format!("{devices} devices that stay for {} s and are told something", hold.as_secs())
        }
        Load::Logins { connections } => format!("{connections} logins"),
        Load::Storm { devices } => format!("{devices} devices come back at once"),
        Load::Accepts { connections } => format!("{connections} bare connections"),
        Load::Append { batch, .. } => format!("{batch} records of {bytes} B an fsync"),
    };
    format!("{}, {load}, {transport}", work.who.name())
}

fn paced(pace: crate::load::plan::Pace) -> String {
    match pace {
        crate::load::plan::Pace::Rate(rate) => format!("{rate:.0}/s in all"),
        crate::load::plan::Pace::InFlight(window) => format!("{window} in flight"),
    }
}

fn kept(stored: bool) -> &'static str {
    if stored { "stored" } else { "not stored" }
}

fn checked(work: &Work) -> &'static str {
    match work.load {
        Load::Idle { .. } | Load::Logins { .. } | Load::Accepts { .. } => "every device was let in",
        Load::Reach { .. } => "every device was let in, stayed, and got what it was told, once",
        Load::Storm { .. } => "every device is back and has every message once, in order",
        Load::Scribes { .. } => "every message has the next number of its conversation",
        Load::Read { .. } => "every page holds what was written, in order",
        _ => "every message came to every device once, in order",
    }
}
