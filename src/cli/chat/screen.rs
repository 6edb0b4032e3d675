//! Lines shown above the prompt, so that they do not break what is being typed.

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
