//! Rows as Markdown.

use std::fmt::Write as _;

use super::table::{PartRow, Table, number};
use crate::measure::figures::name;

/// Figures of a run in the order they are told.
const FIGURES: [(&str, &str); 10] = [
    (name::PER_SECOND, "a second"),
    (name::CPU, "CPU µs each"),
    (name::P50, "p50 µs"),
    (name::P99, "p99 µs"),
    (name::ANSWER_P50, "ack p50 µs"),
    (name::BYTES, "bytes a connection"),
    (name::FRAMES, "frames a write"),
    (name::ENTRIES, "entries a commit"),
    (name::RESUME_CPU, "CPU µs a resumption"),
    (name::OTHERS, "others %"),
];

/// One text of all tables.
pub fn write(tables: &[Table]) -> String {
    let mut text = String::from("# Report\n");
    for table in tables {
        // Writing to a string cannot fail.
        let _ = section(&mut text, table);
    }
    text
}

fn section(text: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(text, "\n## {}\n\n`{}`", table.title, table.command)?;
    for note in &table.notes {
        writeln!(text, "\n**{note}**")?;
    }
    if !table.parts.is_empty() {
        writeln!(text, "\n| part | median | rounds | goal | met |\n|---|---|---|---|---|")?;
        table.parts.iter().try_for_each(|part| writeln!(text, "{}", row(part)))?;
    }
    let used: Vec<_> =
        FIGURES.iter().filter(|(name, _)| table.runs.values().any(|run| run.contains_key(*name))).collect();
    if used.is_empty() {
        return Ok(());
    }
    let titles: Vec<&str> = used.iter().map(|(_, title)| *title).collect();
    writeln!(text, "\n| run | {} |\n|---|{}", titles.join(" | "), "---|".repeat(used.len()))?;
    for (label, run) in &table.runs {
        let cell = |name: &str| match run.get(name) {
            Some(spread) if spread.least == spread.most => number(spread.median),
            Some(spread) => {
                format!("{} ({}–{})", number(spread.median), number(spread.least), number(spread.most))
            }
            None => String::new(),
        };
        let cells: Vec<String> = used.iter().map(|(name, _)| cell(name)).collect();
        writeln!(text, "| {label} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

fn row(part: &PartRow) -> String {
    let value = part.value.map_or("not known".into(), |value| format!("{} {}", number(value), part.unit));
    let rounds = match (part.least, part.most) {
        (Some(least), Some(most)) => format!("{}–{}", number(least), number(most)),
        _ => String::new(),
    };
    let met = if part.met { "yes" } else { "no" };
    format!(
        "| {} | {value} | {rounds} | {} {} {} | {met} |",
        part.name,
        part.bound,
        number(part.goal),
        part.unit
    )
}
