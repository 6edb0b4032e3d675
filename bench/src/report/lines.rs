//! Plots of lines over a size, as a picture of its own. Both axes are logarithmic; nothing is drawn at the bottom.

use std::fmt::Write as _;

use super::plot::escape;

const WIDTH: f64 = 470.0;
const HEIGHT: f64 = 250.0;
/// Of a panel, what its lines have.
const LEFT: f64 = 50.0;
const TOP: f64 = 34.0;
const ACROSS: f64 = 230.0;
const DOWN: f64 = 170.0;
const PANELS_IN_A_ROW: usize = 2;

const COLOURS: [&str; 7] = ["#3b7dd8", "#d8603b", "#2f9e5b", "#8a5bd0", "#b58900", "#0f8b8d", "#c2417c"];

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1b2430}.title{font-weight:600}.paper{fill:#fff}\
    .axis{stroke:#1b2430;stroke-opacity:.25}.line{fill:none;stroke-width:2}";

/// One plot.
pub struct Panel {
    pub title: String,
    /// The size at each column, ascending.
    pub along: Vec<f64>,
    pub rows: Vec<(String, Vec<f64>)>,
}

/// All panels, two beside each other. `along` names the axis that they share.
pub fn picture(along: &str, panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(PANELS_IN_A_ROW);
    let (width, height) = (WIDTH * PANELS_IN_A_ROW as f64, HEIGHT * rows as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\">\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (at, panel) in panels.iter().enumerate() {
        let (x, y) = (WIDTH * (at % PANELS_IN_A_ROW) as f64, HEIGHT * (at / PANELS_IN_A_ROW) as f64);
        // Writing to a string cannot fail.
        _ = write!(
            svg,
            "<g transform=\"translate({x} {y})\">\n{}</g>\n",
            one(along, panel).unwrap_or_default()
        );
    }
    svg + "</svg>\n"
}

fn one(along: &str, panel: &Panel) -> Result<String, std::fmt::Error> {
    let mut svg = String::new();
    let (x, y) = (Scale::over(panel.along.iter().copied()), Scale::of(panel));
    let bottom = TOP + DOWN;
    writeln!(svg, "<text class=\"title\" x=\"8\" y=\"18\">{}</text>", escape(&panel.title))?;
    for power in y.least..=y.most {
        let (at, value) = (bottom - DOWN * y.part(10f64.powi(power)), 10f64.powi(power));
        let label = if power == y.least { "0".to_owned() } else { round(value) };
        writeln!(svg, "<path class=\"axis\" d=\"M{LEFT} {at:.1}h{ACROSS}\"/>")?;
        writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>", LEFT - 6.0, at + 4.0)?;
    }
    for size in &panel.along {
        let at = LEFT + ACROSS * x.part(*size);
        writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            bottom + 16.0,
            round(*size)
        )?;
    }
    writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", LEFT + ACROSS + 12.0, bottom + 16.0, escape(along))?;
    for (at, (name, values)) in panel.rows.iter().enumerate() {
        let colour = COLOURS[at % COLOURS.len()];
        let points = panel.along.iter().zip(values).map(|(size, value)| {
            format!("{:.1},{:.1}", LEFT + ACROSS * x.part(*size), bottom - DOWN * y.part(*value))
        });
        let points: Vec<String> = points.collect();
        writeln!(svg, "<polyline class=\"line\" stroke=\"{colour}\" points=\"{}\"/>", points.join(" "))?;
        let top = TOP + 8.0 + 18.0 * at as f64;
        writeln!(
            svg,
            "<rect x=\"{}\" y=\"{top}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>",
            LEFT + ACROSS + 12.0
        )?;
        writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", LEFT + ACROSS + 27.0, top + 9.0, escape(name))?;
    }
    Ok(svg)
}

/// Powers of ten that an axis reaches over.
struct Scale {
    least: i32,
    most: i32,
}

impl Scale {
    /// From the least to the most of these that are not zero.
    fn over(values: impl Iterator<Item = f64> + Clone) -> Scale {
        let power = |value: f64| value.log10();
        let there = values.filter(|value| *value > 0.0);
        let least = there.clone().map(power).fold(f64::INFINITY, f64::min);
        let most = there.map(power).fold(f64::NEG_INFINITY, f64::max);
        if least > most {
            return Scale { least: 0, most: 1 };
        }
        // Powers of ten are few.
        let (least, most) = (least.floor() as i32, most.ceil() as i32);
        Scale { least, most: most.max(least + 1) }
    }

    /// The same for a panel's values, with a power below them for nothing.
    fn of(panel: &Panel) -> Scale {
        let values = panel.rows.iter().flat_map(|(_, values)| values.iter().copied());
        let Scale { least, most } = Scale::over(values);
        Scale { least: least - 1, most }
    }

    /// Where a value stands, from 0 to 1.
    fn part(&self, value: f64) -> f64 {
        let power = if value > 0.0 { value.log10() } else { f64::from(self.least) };
        ((power - f64::from(self.least)) / f64::from(self.most - self.least)).clamp(0.0, 1.0)
    }
}

/// As short as an axis wants it.
fn round(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_at_the_bottom_and_ten_times_is_a_step() {
        let rows = vec![("a < b".to_owned(), vec![0.0, 1.0, 10.0, 100.0])];
        let panel = Panel { title: "t".into(), along: vec![1.0, 10.0, 100.0, 1_000.0], rows };
        let scale = Scale::of(&panel);
        assert_eq!((scale.least, scale.most), (-1, 2));
        let parts: Vec<f64> = panel.rows[0].1.iter().map(|value| 3.0 * scale.part(*value)).collect();
        assert!(parts.iter().zip(0..).all(|(part, step)| (part - f64::from(step)).abs() < 1e-9), "{parts:?}");
        let picture = picture("nodes", &[panel]);
        assert!(picture.contains("a &lt; b") && picture.contains("polyline"), "{picture}");
    }

    #[test]
    fn a_panel_of_nothing_is_drawn() {
        let panel = Panel { title: "t".into(), along: vec![3.0], rows: vec![("a".into(), vec![0.0])] };
        assert!(picture("nodes", &[panel]).ends_with("</svg>\n"));
    }
}
