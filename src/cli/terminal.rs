//! Standard output, and the last line of a failure.

use std::io::{self, Write};

/// Writes a text and ends the line. A reader that has gone away (`| head`) is no failure.
pub fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Writes one line to standard error.
pub fn note(text: &str) {
    // There is nowhere left to report a broken standard error to.
    _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says why a command failed, on one line (or one per problem, where the error has several).
pub fn fail(error: &anyhow::Error) {
    format!("{error:#}").lines().for_each(|line| note(&format!("whimbrel: {line}")));
}
