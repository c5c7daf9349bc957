//! How a command ends.

use std::fmt::Display;

/// What a command returns: its exit code, or what to print and with which code to end.
pub(crate) type Outcome = Result<u8, Failure>;

/// Everything went well.
pub(crate) const OK: u8 = 0;
/// Nothing to show, or the far side failed.
pub(crate) const EMPTY: u8 = 2;

/// Why a command ends early. Printed on standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) code: u8,
    /// The command's help follows.
    pub(crate) help: bool,
}

impl Failure {
    /// Exit code 1 with a text.
    pub(crate) fn new(text: impl Display) -> Self {
        Failure { text: text.to_string(), code: 1, help: false }
    }

    /// The same, with the command's help behind it.
    pub(crate) fn with_help(text: impl Display) -> Self {
        Failure { help: true, ..Failure::new(text) }
    }
}

/// Puts what was tried in front of why it failed.
pub(crate) trait During<T> {
    /// `what: why`.
    fn during(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: Display> During<T> for Result<T, E> {
    fn during(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("{what}: {error}")))
    }
}

/// Refuses more words than a command takes.
pub(crate) fn at_most(args: &[String], count: usize) -> Result<(), Failure> {
    if args.len() > count {
        return Err(Failure::new(format!("Too many arguments (expected {count}, got {})", args.len())));
    }
    Ok(())
}
