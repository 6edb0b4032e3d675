//! Figures as Markdown, and as a plot.

use std::fmt::Write as _;

use super::figures::Grid;
use crate::report::lines::{self, Panel};
use crate::report::table::number;

/// What stands before the tables.
const INTRODUCTION: &str = include_str!("introduction.md");

/// The whole page.
pub fn markdown(grids: &[Grid]) -> String {
    INTRODUCTION.to_owned() + &tables(grids)
}

/// One table for each kind of figure.
pub fn tables(grids: &[Grid]) -> String {
    let mut text = String::new();
    for grid in grids {
        // Writing to a string cannot fail.
        _ = table(&mut text, grid);
    }
    text
}

fn table(text: &mut String, grid: &Grid) -> std::fmt::Result {
    writeln!(text, "\n**{}** ({})\n", grid.title, grid.unit)?;
    let nodes: Vec<String> = grid.nodes.iter().map(|nodes| format!("{nodes} nodes")).collect();
    writeln!(text, "| routing | {} |\n|---|{}", nodes.join(" | "), "---|".repeat(nodes.len()))?;
    for (name, values) in &grid.rows {
        let cells: Vec<String> = values.iter().map(|value| number(*value)).collect();
        writeln!(text, "| {name} | {} |", cells.join(" | "))?;
    }
    Ok(())
}

/// A picture that needs nothing beside itself.
pub fn svg(grids: &[Grid]) -> String {
    let panel = |grid: &Grid| Panel {
        title: format!("{} ({})", grid.title, grid.unit),
        along: grid.nodes.iter().map(|&nodes| f64::from(nodes)).collect(),
        rows: grid.rows.clone(),
    };
    lines::picture("nodes", &grids.iter().map(panel).collect::<Vec<_>>())
}
