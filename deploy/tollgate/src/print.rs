//! What the program says: data on stdout, everything else on stderr. Whoever has stopped reading wants no more, which is
//! no failure of ours.

use std::fmt::Display;
use std::io::{ErrorKind, Write as _};

/// Prints data, with the end of its line.
pub fn data(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("write to stdout: {error}")),
        _ => Ok(()),
    }
}

/// Tells the operator something beside the data.
pub fn aside(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "tollgate: {text}");
}
