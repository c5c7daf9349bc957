//! The parts of YAML that need no indentation: keys, scalars, flow collections.

use std::collections::BTreeMap;

use crate::value::{Text, Value};

/// Collections inside one another.
pub(super) const MAX_DEPTH: usize = 100;

/// Cuts a comment and the blanks in front of it off the end of a plain part.
pub(super) fn without_comment(text: &str) -> &str {
    let mut end = text.len();
    let (mut quote, mut before) = (None, ' ');
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') if " [{,:-".contains(before) => quote = Some(c),
            (Some(open), c) if c == open && before != '\\' => quote = None,
            (None, '#') if before == ' ' || before == '\t' => {
                end = at;
                break;
            }
            _ => {}
        }
        before = c;
    }
    text[..end].trim_end()
}

/// The key of a line and what stands behind its colon.
pub(super) fn split_key(text: &str) -> Option<(String, &str)> {
    let first = text.chars().next()?;
    if first == '"' || first == '\'' {
        let (key, rest) = quoted(text)?;
        let rest = rest.trim_start().strip_prefix(':')?;
        return (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| (key, rest.trim_start()));
    }
    if matches!(first, '[' | '{' | '#' | '|' | '>' | '%' | '@' | '`') {
        return None;
    }
    let text = without_comment(text);
    let at = text
        .char_indices()
        .find(|(at, c)| {
            *c == ':' && text[at + 1..].chars().next().is_none_or(|next| next == ' ' || next == '\t')
        })?
        .0;
    Some((text[..at].trim_end().to_owned(), text[at + 1..].trim_start()))
}

/// A quoted text at the front, and the rest. `None`: it does not close.
pub(super) fn quoted(text: &str) -> Option<(String, &str)> {
    let open = text.chars().next()?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == open {
            if open == '\'' && chars.peek().is_some_and(|(_, next)| *next == '\'') {
                chars.next();
                out.push('\'');
                continue;
            }
            return Some((out, &text[at + 1..]));
        }
        if c == '\\' && open == '"' {
            let (_, escape) = chars.next()?;
            let mut hex = |count: usize| {
                let digits: String = (0..count).filter_map(|_| chars.next().map(|(_, c)| c)).collect();
                u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
            };
            out.push(match escape {
                '0' => '\0',
                'a' => '\x07',
                'b' => '\x08',
                't' | '\t' => '\t',
                'n' => '\n',
                'v' => '\x0b',
                'f' => '\x0c',
                'r' => '\r',
                'e' => '\x1b',
                'N' => '\u{85}',
                '_' => '\u{a0}',
                'L' => '\u{2028}',
                'P' => '\u{2029}',
                'x' => hex(2)?,
                'u' => hex(4)?,
                'U' => hex(8)?,
                c @ ('"' | '/' | '\\' | ' ') => c,
                '\n' => continue,
                _ => return None,
            });
            continue;
        }
        out.push(c);
    }
    None
}

/// A plain scalar by the rules of YAML 1.1.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Nil,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if starts {
        let solid = text.replace('_', "");
        let (negative, digits) = match solid.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, solid.strip_prefix('+').unwrap_or(&solid)),
        };
        if let Some(Some(number)) = crate::go::parse_uint(digits) {
            let wide = if negative { -i128::from(number) } else { i128::from(number) };
            return match i64::try_from(wide) {
                Ok(number) => Value::Int(number),
                Err(_) => Value::Uint(number),
            };
        }
        let numeric = solid.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
        if numeric
            && solid.bytes().any(|b| b.is_ascii_digit())
            && let Ok(number) = solid.parse::<f64>()
        {
            return Value::Float(number);
        }
    }
    Value::text(text)
}

/// Why a flow collection gives nothing.
pub(super) enum FlowError {
    /// More lines are needed.
    Open,
    Bad(String),
}

/// A flow collection being read.
pub(super) struct Flow<'a> {
    rest: &'a str,
    depth: usize,
    anchors: &'a BTreeMap<String, Value>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(text: &'a str, anchors: &'a BTreeMap<String, Value>) -> Flow<'a> {
        Flow { rest: text, depth: 0, anchors }
    }

    /// What stands behind what was read.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    fn blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.blanks();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn value(&mut self) -> Result<Value, FlowError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(FlowError::Bad(format!("nested deeper than {MAX_DEPTH}")));
        }
        self.blanks();
        let value = match self.rest.chars().next() {
            None => return Err(FlowError::Open),
            Some('[') => {
                self.eat('[');
                let mut items = Vec::new();
                while !self.eat(']') {
                    items.push(self.value()?);
                    self.comma(']')?;
                }
                Value::any_list(items)
            }
            Some('{') => {
                self.eat('{');
                let mut entries = BTreeMap::new();
                while !self.eat('}') {
                    let key = match self.scalar(true)? {
                        Value::Str(text) => text,
                        other => Text::from(crate::go::sprint(&[other])),
                    };
                    let value = if self.eat(':') { self.value()? } else { Value::Nil };
                    entries.insert(key, value);
                    self.comma('}')?;
                }
                Value::any_map(entries)
            }
            Some('*') => {
                let end = self.rest.find([',', ']', '}', ' ']).unwrap_or(self.rest.len());
                let name = &self.rest[1..end];
                let Some(value) = self.anchors.get(name) else {
                    return Err(FlowError::Bad(format!("unknown anchor {name:?}")));
                };
                self.rest = &self.rest[end..];
                value.clone()
            }
            Some(',' | ']' | '}' | ':') => Value::Nil,
            Some(_) => self.scalar(false)?,
        };
        self.depth -= 1;
        Ok(value)
    }

    fn comma(&mut self, close: char) -> Result<(), FlowError> {
        self.blanks();
        if self.rest.is_empty() {
            return Err(FlowError::Open);
        }
        if self.eat(',') || self.rest.starts_with(close) {
            return Ok(());
        }
        Err(FlowError::Bad(format!("expected a comma or {close:?} at {:?}", self.rest)))
    }

    fn scalar(&mut self, key: bool) -> Result<Value, FlowError> {
        self.blanks();
        if self.rest.is_empty() {
            return Err(FlowError::Open);
        }
        if self.rest.starts_with(['"', '\'']) {
            let (text, rest) = quoted(self.rest).ok_or(FlowError::Open)?;
            self.rest = rest;
            return Ok(Value::text(text));
        }
        let end = self
            .rest
            .char_indices()
            .find(|(at, c)| match c {
                ',' | ']' | '}' | '[' | '{' => true,
                ':' => key && self.rest[at + 1..].chars().next().is_none_or(|next| " ,]}".contains(next)),
                _ => false,
            })
            .map(|(at, _)| at);
        let Some(end) = end else { return Err(FlowError::Open) };
        let text = self.rest[..end].trim();
        if text.is_empty() && !key {
            return Err(FlowError::Bad(format!("a value is missing at {:?}", self.rest)));
        }
        self.rest = &self.rest[end..];
        Ok(if key { Value::text(text) } else { plain(text) })
    }
}
