//! Walks over a text, counting lines and columns.

use std::sync::Arc;

use crate::source::SyntaxError;
use crate::value::Pos;

/// A place in a text that moves forward only.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    column: u32,
    file: Arc<str>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(file: &str, text: &'a str) -> Self {
        Cursor { text, at: 0, line: 1, column: 1, file: file.into() }
    }

    pub(crate) fn pos(&self) -> Pos {
        Pos { file: self.file.clone(), line: self.line, column: self.column }
    }

    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// Moves over `bytes` bytes, which must end on a character.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let end = self.at + bytes;
        while self.at < end {
            if self.next().is_none() {
                return;
            }
        }
    }

    /// Takes characters as long as they fit.
    pub(crate) fn take_while(&mut self, mut fits: impl FnMut(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&mut fits) {
            self.next();
        }
        &self.text[start..self.at]
    }

    pub(crate) fn error(&self, text: impl Into<String>) -> SyntaxError {
        SyntaxError { text: text.into(), pos: self.pos() }
    }
}
