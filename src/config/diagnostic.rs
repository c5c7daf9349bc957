//! What is wrong, and where.

use std::fmt;

use crate::value::Pos;

/// When a fault was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The source is not of its grammar; nothing of it was read.
    Syntax,
    /// A key is unknown, or its value has the wrong shape.
    Shape,
    /// The value makes no sense, alone or with others.
    Sense,
}

/// A fault or a warning.
#[derive(Clone, PartialEq, Debug)]
pub struct Diagnostic {
    /// What is wrong: Consul's words where it has some.
    pub text: String,
    /// Path of the key (`acl.tokens.agent`); empty where none is to blame.
    pub key: String,
    /// Where it stands; `None` where it stands nowhere, or for a flag.
    pub pos: Option<Pos>,
    /// The key that was probably meant.
    pub meant: Option<String>,
    /// When it was found.
    pub stage: Stage,
}

impl Diagnostic {
    fn place(&self) -> String {
        let place = self.pos.as_ref().map(ToString::to_string);
        let meant = self.meant.as_ref().map(|meant| format!("did you mean {meant}?"));
        match (place, meant) {
            (Some(place), Some(meant)) => format!(" ({place}; {meant})"),
            (Some(place), None) => format!(" ({place})"),
            (None, Some(meant)) => format!(" ({meant})"),
            (None, None) => String::new(),
        }
    }

    fn file(&self) -> Option<&str> {
        match (self.stage, &self.pos) {
            (Stage::Syntax | Stage::Shape, Some(pos)) => Some(&pos.file),
            _ => None,
        }
    }
}

impl fmt::Display for Diagnostic {
    /// The text, and behind it in brackets the place and the key that was meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, self.place())
    }
}

/// All faults of a configuration. Prints them in Consul's form: one alone as it is, several as a list.
#[derive(Clone, PartialEq, Debug)]
pub struct Errors(pub Vec<Diagnostic>);

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.as_slice();
        let [first, ..] = all else { return f.write_str("no errors") };
        if let Some(file) = first.file()
            && all.iter().all(|one| one.file() == Some(file))
        {
            write!(f, "failed to parse {file}: ")?;
            return match all {
                [one] if one.stage == Stage::Syntax => one.fmt(f),
                _ => list(f, all, |_| String::new()),
            };
        }
        match all {
            [one] => one.fmt(f),
            _ => list(f, all, |one| {
                one.file().map(|file| format!("failed to parse {file}: ")).unwrap_or_default()
            }),
        }
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    all: &[Diagnostic],
    prefix: impl Fn(&Diagnostic) -> String,
) -> fmt::Result {
    write!(f, "{} error{} occurred:", all.len(), if all.len() == 1 { "" } else { "s" })?;
    for one in all {
        write!(f, "\n\t* {}{one}", prefix(one))?;
    }
    Ok(())
}

impl std::error::Error for Errors {}
