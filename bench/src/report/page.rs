//! Rows as a page of HTML that needs nothing beside itself.

use std::fmt::Write as _;

use super::plot::{self, Bar, escape};
use super::table::Table;
use crate::measure::figures::name;

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>Load test report</title>\n<style>\n\
    body{font:15px/1.45 system-ui,sans-serif;max-width:760px;margin:2rem auto;padding:0 1rem;color:#1b2430;background:#fff}\n\
    code{background:#eef1f4;padding:.1em .3em;border-radius:3px;overflow-wrap:anywhere}\n\
    svg{max-width:100%;height:auto}svg text{font:13px system-ui,sans-serif;fill:currentColor}\n\
    .bar{fill:#3b7dd8}.missed{fill:#d8603b}.goal{stroke:#1b2430;stroke-width:2}.spread{stroke:#1b2430;stroke-opacity:.6}\n\
    .note{font-weight:600}\n\
    @media(prefers-color-scheme:dark){body{color:#e6e9ed;background:#14181d}code{background:#252c34}\n\
    .goal,.spread{stroke:#e6e9ed}}\n</style>\n";

/// What is plotted of runs, each with a plot of its own.
const PLOTS: [(&str, &str, &str); 5] = [
    (name::CPU, "Server CPU", "µs each"),
    (name::PER_SECOND, "Rate", "/s"),
    (name::P50, "Latency, p50", "µs"),
    (name::P99, "Latency, p99", "µs"),
    (name::BYTES, "Memory of a connection", "B"),
];

/// One page of all tables.
pub fn write(tables: &[Table]) -> String {
    let mut page = String::from(HEAD);
    page.push_str(
        "<h1>Load test report</h1>\n<p>Bars are medians, thin lines go from the least to the most of all \
                   rounds, a stroke across marks a goal, and what misses it is red.</p>\n",
    );
    for table in tables {
        // Writing to a string cannot fail.
        let _ = section(&mut page, table);
    }
    page + "</html>\n"
}

fn section(page: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(page, "<h2>{}</h2>\n<p><code>{}</code></p>", escape(&table.title), escape(&table.command))?;
    for note in &table.notes {
        writeln!(page, "<p class=\"note\">{}</p>", escape(note))?;
    }
    let parts: Vec<Bar<'_>> = table.parts.iter().filter_map(plot::part).collect();
    if !parts.is_empty() {
        page.push_str(&plot::bars(&parts, true));
    }
    for (figure, title, unit) in PLOTS {
        let runs = table.runs.iter().filter_map(|(label, run)| Some((label, run.get(figure)?.clone())));
        let bars: Vec<Bar<'_>> =
            runs.map(|(label, spread)| Bar { label, spread, unit, goal: None }).collect();
        if !bars.is_empty() {
            writeln!(page, "<h3>{title}</h3>\n{}", plot::bars(&bars, false))?;
        }
    }
    Ok(())
}
