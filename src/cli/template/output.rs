//! The only place of the watcher that prints.

use std::io::{self, IsTerminal as _, Write as _};

/// Writes to the standard output; whoever reads it may have left, which is no error.
pub(crate) fn out(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// A line on the standard error, for people.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Does a person read the standard output?
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}
