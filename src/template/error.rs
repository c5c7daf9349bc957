//! What goes wrong in a template, and where.

use std::fmt;

/// The stage a template failed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The text is no template. Nothing was rendered; only another text helps.
    Parse,
    /// The template met data it cannot handle. Other data may help.
    Execute,
    /// A limit was passed (steps, output, memory, nesting). Retrying the same data does not help.
    Limit,
    /// The caller stopped it (deadline, shutdown).
    Stopped,
}

/// An error with its place: `file:line:column: message`.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct TemplateError {
    /// When it failed.
    pub stage: Stage,
    /// The template's name, usually its file.
    pub name: String,
    /// From 1.
    pub line: usize,
    /// In characters, from 1; 0 where only the line is known.
    pub column: usize,
    /// The `define` it happened in; empty in the template itself.
    pub within: String,
    /// The expression it happened at; empty where there is none.
    pub expression: String,
    /// What happened.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.name, self.line)?;
        if self.column > 0 {
            write!(f, "{}:", self.column)?;
        }
        if !self.within.is_empty() {
            write!(f, " in {:?}", self.within)?;
        }
        if !self.expression.is_empty() {
            write!(f, " at <{}>:", self.expression)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Line and column (both from 1) of a byte of a text.
pub(crate) fn place(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let column = crate::value::lossy(&before[start..]).chars().count() + 1;
    (line, column)
}

/// An expression for a message: one line, not too long.
pub(crate) fn excerpt(source: &[u8]) -> String {
    let text = crate::value::lossy(source);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(80) {
        Some((cut, _)) => format!("{}...", &line[..cut]),
        None => line,
    }
}
