//! Plots as SVG.

use std::fmt::Write as _;

use super::table::{PartRow, number};
use crate::measure::figures::Spread;

const WIDTH: f64 = 720.0;
const ROW: f64 = 26.0;
const LABEL: f64 = 260.0;
const BAR: f64 = 340.0;

/// One bar of a plot: a median, with a line from the least to the most.
pub struct Bar<'a> {
    pub label: &'a str,
    pub spread: Spread,
    pub unit: &'a str,
    /// Where to draw a line across, and whether the bar is on its right side.
    pub goal: Option<(f64, bool)>,
}

/// Bars below each other. `alone`: each has a scale of its own.
pub fn bars(bars: &[Bar<'_>], alone: bool) -> String {
    let reach =
        |bar: &Bar<'_>| bar.spread.most.max(bar.goal.map_or(0.0, |(goal, _)| goal)).max(f64::MIN_POSITIVE);
    let all = bars.iter().map(reach).fold(f64::MIN_POSITIVE, f64::max);
    let height = ROW * bars.len() as f64 + 6.0;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\">\n");
    for (at, bar) in bars.iter().enumerate() {
        let top = ROW * at as f64 + 4.0;
        let scale = BAR / if alone { reach(bar) } else { all } / 1.02;
        // Writing to a string cannot fail.
        let _ = one(&mut svg, bar, top, scale);
    }
    svg + "</svg>\n"
}

fn one(svg: &mut String, bar: &Bar<'_>, top: f64, scale: f64) -> std::fmt::Result {
    let (length, middle) = (bar.spread.median * scale, top + ROW / 2.0 - 3.0);
    let class = match bar.goal {
        Some((_, false)) => "missed",
        _ => "bar",
    };
    let label = escape(bar.label);
    writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{label}</text>", LABEL - 8.0, middle + 4.0)?;
    let thick = ROW - 10.0;
    writeln!(
        svg,
        "<rect class=\"{class}\" x=\"{LABEL}\" y=\"{top}\" width=\"{length:.1}\" height=\"{thick}\"/>"
    )?;
    let (from, to) = (LABEL + bar.spread.least * scale, LABEL + bar.spread.most * scale);
    writeln!(
        svg,
        "<line class=\"spread\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>"
    )?;
    if let Some((goal, _)) = bar.goal {
        let (x, bottom) = (LABEL + goal * scale, top + thick + 3.0);
        writeln!(
            svg,
            "<line class=\"goal\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\"/>",
            top - 3.0
        )?;
    }
    let value = format!("{} {}", number(bar.spread.median), escape(bar.unit));
    writeln!(svg, "<text x=\"{}\" y=\"{}\">{value}</text>", LABEL + BAR + 8.0, middle + 4.0)
}

/// A part as a bar, if it has a value.
pub fn part(part: &PartRow) -> Option<Bar<'_>> {
    let median = part.value?;
    let spread = Spread { median, least: part.least.unwrap_or(median), most: part.most.unwrap_or(median) };
    Some(Bar { label: &part.name, spread, unit: &part.unit, goal: Some((part.goal, part.met)) })
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_a_missed_goal_shows() {
        let spread = Spread { median: 2.0, least: 1.0, most: 3.0 };
        let svg = bars(&[Bar { label: "a < b", spread, unit: "×", goal: Some((1.5, false)) }], true);
        assert!(
            svg.contains("a &lt; b") && svg.contains("class=\"missed\"") && svg.contains("class=\"goal\"")
        );
    }
}
