//! What is read: a name, bytes and how to take them.

use crate::value::Value;
use crate::{hcl, json};

/// Largest source taken, bytes.
pub const MAX_SOURCE_BYTES: usize = 16 << 20;
/// Deepest nesting taken.
pub(crate) const MAX_DEPTH: usize = 64;

/// How bytes are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// HCL1; a source that begins with a brace is JSON.
    Hcl,
    /// JSON.
    Json,
}

impl Format {
    /// By the ending of a file name (`.hcl`, `.json`); `None`: Consul skips such a file in a directory.
    pub fn of_name(name: &str) -> Option<Format> {
        if name.ends_with(".hcl") {
            Some(Format::Hcl)
        } else if name.ends_with(".json") {
            Some(Format::Json)
        } else {
            None
        }
    }

    /// By the word of `-config-format`.
    pub fn of_word(word: &str) -> Option<Format> {
        match word {
            "hcl" => Some(Format::Hcl),
            "json" => Some(Format::Json),
            _ => None,
        }
    }
}

/// A file or a `-hcl` fragment, read by the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// How errors name it: the path as given, or `flags-0.hcl` for the first `-hcl` fragment.
    pub name: String,
    /// Its contents.
    pub bytes: Vec<u8>,
    /// How to read them.
    pub format: Format,
}

impl Source {
    /// A source.
    pub fn new(name: impl Into<String>, format: Format, bytes: impl Into<Vec<u8>>) -> Self {
        Source { name: name.into(), bytes: bytes.into(), format }
    }

    /// The `n`th `-hcl` fragment, named as Consul names it.
    pub fn fragment(n: usize, text: impl Into<Vec<u8>>) -> Self {
        Source::new(format!("flags-{n}.hcl"), Format::Hcl, text)
    }
}

/// Why a source could not be read at all.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct SyntaxError {
    /// What is wrong.
    pub text: String,
    /// Where.
    pub pos: crate::Pos,
}

/// A source as a tree.
#[derive(Clone, PartialEq, Debug)]
pub struct Document {
    /// Its keys; always a map.
    pub root: Value,
    /// Keys written more than once where only the last counts.
    pub repeated: Vec<(String, crate::Pos)>,
    /// It was read as JSON.
    pub is_json: bool,
}

/// Reads a source into a tree with positions.
///
/// # Errors
/// The first thing that is not of the grammar.
pub fn read(source: &Source) -> Result<Document, SyntaxError> {
    let whole = |text: String| SyntaxError { text, pos: crate::Pos::whole(&source.name) };
    if source.bytes.len() > MAX_SOURCE_BYTES {
        return Err(whole(format!(
            "source has {} bytes, more than the {MAX_SOURCE_BYTES} that are read",
            source.bytes.len()
        )));
    }
    let text = match std::str::from_utf8(&source.bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let line = source.bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            return Err(SyntaxError {
                text: format!("invalid UTF-8 at byte {at}"),
                pos: crate::Pos { file: source.name.as_str().into(), line: line as u32, column: 1 },
            });
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let json = match source.format {
        Format::Json => true,
        Format::Hcl => text.trim_start().starts_with('{'),
    };
    if json { json::read(&source.name, text) } else { hcl::read(&source.name, text) }
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
