//! Placeholder while the log is built.
#[derive(Debug)]
pub(crate) struct Outcome;
