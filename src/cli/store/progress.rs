//! How far it is: a bar on a terminal, else a line from time to time, both on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::terminal::{note, say};

/// Between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
const STYLE: &str = "{msg} {wide_bar} {human_pos} of {human_len} entries, {per_sec}, {eta} left";

/// The way through so many entries.
pub struct Progress {
    /// On a terminal.
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    begun: Instant,
    told: Instant,
}

impl Progress {
    pub fn new(what: &'static str, total: u64) -> Progress {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::no_length);
        let now = Instant::now();
        let mut progress = Progress { bar, what, total, begun: now, told: now };
        progress.begin(what, total);
        progress
    }

    /// Starts again, with something else.
    pub fn begin(&mut self, what: &'static str, total: u64) {
        (self.what, self.total, self.begun) = (what, total, Instant::now());
        let Some(bar) = &self.bar else { return };
        bar.finish_and_clear();
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_message(what);
        // The words of the style are fixed; without it the bar only looks different.
        self.bar = Some(match ProgressStyle::with_template(STYLE) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        });
    }

    /// So many are done.
    pub fn at(&mut self, done: u64) {
        if let Some(bar) = &self.bar {
            return bar.set_position(done);
        }
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            note(&line(self.what, done, self.total, self.begun.elapsed()));
        }
    }

    /// A line on standard output, above the bar.
    pub fn say(&self, text: &str) {
        let out = || {
            // A reader that has gone away misses the rest; the count at the end and the exit code still tell.
            _ = say(text);
        };
        match &self.bar {
            Some(bar) => bar.suspend(out),
            None => out(),
        }
    }

    /// Takes the bar away.
    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(what: &str, done: u64, total: u64, taken: Duration) -> String {
    let per_second = done as f64 / taken.as_secs_f64().max(0.001);
    let left = total.saturating_sub(done) as f64 / per_second.max(0.001);
    format!("{what}: {done} of {total} entries, {per_second:.0}/s, {left:.0} s left")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_rate_and_time_left() {
        let told = line("copying", 500, 2_000, Duration::from_secs(10));
        assert_eq!(told, "copying: 500 of 2000 entries, 50/s, 30 s left");
        assert_eq!(line("copying", 9, 9, Duration::ZERO), "copying: 9 of 9 entries, 9000/s, 0 s left");
    }
}
