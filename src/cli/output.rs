//! The one place that writes to the terminal.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::fmt::Display;
use std::io::{self, Write};

/// Standard output and standard error. A reader that went away is no failure: the rest is dropped.
#[derive(Debug, Default)]
pub(crate) struct Out {
    closed: bool,
}

impl Out {
    /// A line on standard output.
    pub(crate) fn line(&mut self, text: impl Display) {
        self.bytes(format!("{text}\n").as_bytes());
    }

    /// Bytes on standard output, flushed.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        if self.closed {
            return;
        }
        let mut stdout = io::stdout().lock();
        let result = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if result.is_err() {
            self.closed = true;
        }
    }

    /// A line on standard error.
    pub(crate) fn error(&mut self, text: impl Display) {
        // Nobody is left to hear that standard error is gone.
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Whether the reader of standard output went away.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}
