//! Lines shown above the prompt, so that they do not break what is being typed.

use std::io::Write;

use rustyline::ExternalPrinter;

/// The terminal.
pub struct Screen {
    printer: Box<dyn ExternalPrinter + Send>,
}

impl Screen {
    pub fn new(printer: impl ExternalPrinter + Send + 'static) -> Screen {
        Screen { printer: Box::new(printer) }
    }

    /// Shows one or more lines.
    pub fn show(&mut self, text: &str) {
        // A terminal that is gone ends the input too, and with it the loop.
        _ = self.printer.print(format!("{text}\n"));
    }
}

/// Writes where nothing is being typed.
pub fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // As above: the input ends with the terminal.
    _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Erases this many rows above the cursor, where a terminal has one to move.
pub fn erase(rows: usize) {
    if std::env::var_os("TERM").is_none_or(|term| term == "dumb") {
        return;
    }
    write(&format!("\x1b[{rows}A\r\x1b[J"));
}

/// How many rows a typed line takes on a terminal of this many columns and rows. `None` where that is not
/// certain: characters of unknown width, more rows than there are.
pub fn rows(typed: &str, (columns, rows): (u16, u16)) -> Option<usize> {
    if columns == 0 || typed.chars().any(char::is_control) {
        return None;
    }
    let narrow = typed.chars().all(|c| c < '\u{300}' || c == '→');
    let cells = typed.chars().count() * if narrow { 1 } else { 2 };
    let taken = cells / usize::from(columns) + 1;
    (taken < usize::from(rows) && (narrow || taken == 1)).then_some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rows_that_are_certain_are_erased() {
        assert_eq!(rows("alice → bob> hi", (80, 24)), Some(1));
        assert_eq!(rows(&"x".repeat(80), (80, 24)), Some(2));
        assert_eq!(rows(&"x".repeat(4000), (80, 24)), None);
        assert_eq!(rows("> 好", (80, 24)), Some(1));
        assert_eq!(rows(&"好".repeat(40), (80, 24)), None);
        assert_eq!(rows("a\tb", (80, 24)), None);
    }
}
