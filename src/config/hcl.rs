//! HCL1 with positions.
//!
//! The shape rule of HCL1: every block and every object that is an attribute becomes a list of maps; repeats append;
//! labels nest; a repeated scalar replaces the earlier one. `${...}` and `%{...}` stay as they are written.

use std::collections::HashMap;

use crate::cursor::Cursor;
use crate::source::{Document, MAX_DEPTH, SyntaxError};
use crate::value::{Entry, Kind, Map, Pos, Value};

/// Reads a whole source.
pub(crate) fn read(file: &str, text: &str) -> Result<Document, SyntaxError> {
    let mut reader = Reader { cursor: Cursor::new(file, text), repeated: Vec::new() };
    let pos = reader.cursor.pos();
    let map = reader.items(false, MAX_DEPTH)?;
    Ok(Document { root: Value { kind: Kind::Map(map), pos }, repeated: reader.repeated, is_json: false })
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    repeated: Vec<(String, Pos)>,
}

fn starts_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn goes_on_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

impl Reader<'_> {
    fn fail<T>(&self, text: impl std::fmt::Display) -> Result<T, SyntaxError> {
        let pos = self.cursor.pos();
        Err(SyntaxError { text: format!("At {}:{}: {text}", pos.line, pos.column), pos })
    }

    /// How HCL1 names what stands here.
    fn token(&self) -> &'static str {
        match self.cursor.peek() {
            None => "EOF",
            Some('{') => "LBRACE",
            Some('}') => "RBRACE",
            Some('[') => "LBRACK",
            Some(']') => "RBRACK",
            Some('=') => "ASSIGN",
            Some(',') => "COMMA",
            Some('"') => "STRING",
            Some('<') => "HEREDOC",
            Some('-' | '0'..='9') => "NUMBER",
            Some(c) if starts_word(c) => "IDENT",
            Some(_) => "ILLEGAL",
        }
    }

    /// Skips blanks and comments.
    fn blank(&mut self) -> Result<(), SyntaxError> {
        loop {
            self.cursor.take_while(char::is_whitespace);
            let rest = self.cursor.rest();
            if rest.starts_with('#') || rest.starts_with("//") {
                self.cursor.take_while(|c| c != '\n');
            } else if rest.starts_with("/*") {
                let Some(end) = rest.find("*/") else { return self.fail("comment not terminated") };
                self.cursor.skip(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    /// Keys and values up to the end of the source, or up to a closing brace.
    fn items(&mut self, in_braces: bool, depth: usize) -> Result<Map, SyntaxError> {
        if depth == 0 {
            return self.fail("nested too deeply");
        }
        let mut map = Map::default();
        let mut places = HashMap::new();
        loop {
            self.blank()?;
            match self.cursor.peek() {
                None if in_braces => return self.fail("object expected closing RBRACE got: EOF"),
                None => return Ok(map),
                Some('}') if in_braces => {
                    self.cursor.next();
                    return Ok(map);
                }
                Some(_) => {}
            }
            let entry = self.item(depth)?;
            self.add(&mut map, &mut places, entry);
            self.blank()?;
            if self.cursor.peek() == Some(',') {
                self.cursor.next();
            }
        }
    }

    /// `key = value`, `key { ... }`, `key "label" ... { ... }`.
    fn item(&mut self, depth: usize) -> Result<Entry, SyntaxError> {
        let mut keys: Vec<(String, Pos)> = Vec::new();
        loop {
            self.blank()?;
            let pos = self.cursor.pos();
            match self.cursor.peek() {
                Some('"') => keys.push((self.string()?, pos)),
                Some(c) if starts_word(c) => {
                    keys.push((self.cursor.take_while(goes_on_word).to_owned(), pos))
                }
                Some('=') if keys.len() == 1 => {
                    self.cursor.next();
                    break;
                }
                Some('=') if keys.len() > 1 => {
                    return self.fail("nested object expected: LBRACE got: ASSIGN");
                }
                Some('{') if !keys.is_empty() => break,
                _ if keys.is_empty() => {
                    return self.fail(format_args!(
                        "expected: IDENT | STRING | ASSIGN | LBRACE got: {}",
                        self.token()
                    ));
                }
                None => return self.fail("end of file reached"),
                _ => {
                    return self.fail(format_args!(
                        "illegal character or missing value after the key {:?}",
                        keys[0].0
                    ));
                }
            }
            // Each label is a level of nesting.
            if keys.len() >= depth {
                return self.fail("nested too deeply");
            }
        }
        let mut value = self.value(depth - keys.len())?;
        let mut keys = keys.into_iter();
        let Some((first, first_pos)) = keys.next() else { return self.fail("a key is missing") };
        for (key, pos) in keys.rev() {
            let inner = Map(vec![Entry { key, pos: pos.clone(), value }]);
            let inner = Value { kind: Kind::Map(inner), pos: pos.clone() };
            value = Value { kind: Kind::List(vec![inner]), pos };
        }
        Ok(Entry { key: first, pos: first_pos, value })
    }

    fn add(&mut self, map: &mut Map, places: &mut HashMap<String, usize>, entry: Entry) {
        let Some(place) = places.get(&entry.key) else {
            places.insert(entry.key.clone(), map.0.len());
            map.0.push(entry);
            return;
        };
        let old = &mut map.0[*place];
        match (&mut old.value.kind, entry.value.kind) {
            (Kind::List(old), Kind::List(more)) => old.extend(more),
            (_, kind) => {
                self.repeated.push((entry.key, entry.pos.clone()));
                old.pos = entry.pos;
                old.value = Value { kind, pos: entry.value.pos };
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, SyntaxError> {
        self.blank()?;
        let pos = self.cursor.pos();
        let kind = match self.cursor.peek() {
            None => return self.fail("a value is missing at the end of the file"),
            Some('"') => Kind::String(self.string()?),
            Some('<') => Kind::String(self.heredoc()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('{') => {
                self.cursor.next();
                let map = self.items(true, depth.saturating_sub(1))?;
                Kind::List(vec![Value { kind: Kind::Map(map), pos: pos.clone() }])
            }
            Some('[') => Kind::List(self.list(depth)?),
            Some(c) if starts_word(c) => {
                let rest = self.cursor.rest();
                let end = rest.find(|c| !goes_on_word(c)).unwrap_or(rest.len());
                let kind = match &rest[..end] {
                    "true" => Kind::Bool(true),
                    "false" => Kind::Bool(false),
                    word => {
                        return self.fail(format_args!(
                            "a value was expected, not the bare word {word}; text stands in double quotes"
                        ));
                    }
                };
                self.cursor.skip(end);
                kind
            }
            Some(_) => return self.fail(format_args!("a value was expected, got: {}", self.token())),
        };
        Ok(Value { kind, pos })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Value>, SyntaxError> {
        if depth == 0 {
            return self.fail("nested too deeply");
        }
        self.cursor.next();
        let mut items = Vec::new();
        let mut needs_comma = false;
        loop {
            self.blank()?;
            match self.cursor.peek() {
                None => return self.fail("list expected closing RBRACK got: EOF"),
                Some(']') => {
                    self.cursor.next();
                    return Ok(items);
                }
                Some(',') => {
                    self.cursor.next();
                    needs_comma = false;
                    continue;
                }
                // HCL1 demands the comma between scalars only.
                Some(c) if needs_comma && c != '{' && c != '[' => {
                    return self.fail(format_args!(
                        "error parsing list, expected comma or list end, got: {}",
                        self.token()
                    ));
                }
                Some('{') => {
                    let pos = self.cursor.pos();
                    self.cursor.next();
                    let map = self.items(true, depth - 1)?;
                    items.push(Value { kind: Kind::Map(map), pos });
                }
                Some(_) => items.push(self.value(depth - 1)?),
            }
            needs_comma = true;
        }
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let start = self.cursor.rest();
        let negative = start.starts_with('-');
        if negative {
            self.cursor.next();
        }
        let body = self.cursor.rest();
        let mut length = 0;
        let bytes = body.as_bytes();
        let hex = body.starts_with("0x") || body.starts_with("0X");
        while let Some(byte) = bytes.get(length) {
            let exponent_sign = !hex
                && matches!(byte, b'+' | b'-')
                && matches!(bytes.get(length.wrapping_sub(1)), Some(b'e' | b'E'));
            if byte.is_ascii_alphanumeric() || *byte == b'.' || exponent_sign {
                length += 1;
            } else {
                break;
            }
        }
        let digits = &body[..length];
        let whole = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
            Some(i128::from_str_radix(hex, 16))
        } else if digits.len() > 1
            && digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            Some(i128::from_str_radix(digits, 8))
        } else if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Some(digits.parse::<i128>())
        } else {
            None
        };
        let kind = match whole {
            Some(Ok(number)) => {
                let number = if negative { -number } else { number };
                i64::try_from(number).ok().map(Kind::Int)
            }
            Some(Err(_)) => None,
            None if digits.starts_with(|c: char| c.is_ascii_digit()) && !hex => digits
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(|number| Kind::Float(if negative { -number } else { number })),
            None => None,
        };
        let Some(kind) = kind else {
            let sign = if negative { "-" } else { "" };
            return self.fail(format_args!("cannot read the number {sign}{digits}"));
        };
        self.cursor.skip(length);
        Ok(kind)
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.cursor.next();
        let mut out = String::new();
        let mut braces = 0usize;
        loop {
            let Some(c) = self.cursor.peek() else { return self.fail("literal not terminated") };
            match c {
                '\n' if braces == 0 => return self.fail("literal not terminated"),
                '"' if braces == 0 => {
                    self.cursor.next();
                    return Ok(out);
                }
                // Inside `${ }` everything stands for itself.
                '\\' if braces == 0 => {
                    self.cursor.next();
                    self.escape(&mut out)?;
                    continue;
                }
                '$' if braces == 0 && self.cursor.rest().starts_with("${") => {
                    self.cursor.next();
                    out.push('$');
                    braces = 1;
                    out.push('{');
                    self.cursor.next();
                    continue;
                }
                '{' if braces > 0 => braces += 1,
                '}' if braces > 0 => braces -= 1,
                _ => {}
            }
            out.push(c);
            self.cursor.next();
        }
    }

    fn escape(&mut self, out: &mut String) -> Result<(), SyntaxError> {
        let (count, radix) = match self.cursor.peek() {
            Some('x') => (2, 16),
            Some('u') => (4, 16),
            Some('U') => (8, 16),
            Some('0'..='7') => (3, 8),
            Some(c) => {
                out.push(match c {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' | '"' => c,
                    _ => return self.fail("illegal char escape"),
                });
                self.cursor.next();
                return Ok(());
            }
            None => return self.fail("literal not terminated"),
        };
        if radix == 16 {
            self.cursor.next();
        }
        let mut code = 0u32;
        for _ in 0..count {
            let Some(digit) = self.cursor.peek().and_then(|c| c.to_digit(radix)) else {
                return self.fail("illegal char escape");
            };
            code = code.wrapping_mul(radix).wrapping_add(digit);
            self.cursor.next();
        }
        let Some(c) = char::from_u32(code) else { return self.fail("illegal char escape") };
        out.push(c);
        Ok(())
    }

    /// `<<MARK` or `<<-MARK`, lines, and a line with nothing but the mark. With the dash the indentation of the closing
    /// mark is taken from every line, when every line has it.
    fn heredoc(&mut self) -> Result<String, SyntaxError> {
        let rest = self.cursor.rest();
        let Some(after) = rest.strip_prefix("<<") else {
            return self.fail("a value was expected, got: ILLEGAL");
        };
        let (indented, after) = match after.strip_prefix('-') {
            Some(after) => (true, after),
            None => (false, after),
        };
        let end = after.find('\n').unwrap_or(after.len());
        let mark = after[..end].trim_end_matches('\r');
        if mark.is_empty() || !mark.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
            return self.fail("zero-length or invalid heredoc anchor");
        }
        let Some(body) = after.get(end + 1..) else { return self.fail("heredoc not terminated") };
        let mut at = 0;
        for line in body.split_inclusive('\n') {
            let bare = line.trim_end_matches('\n').trim_end_matches('\r');
            if bare.trim_start() == mark {
                let indent = &bare[..bare.len() - mark.len()];
                let text = unindent(&body[..at], indent, indented);
                // The line break after the mark is left for the next token.
                self.cursor.skip(rest.len() - body.len() + at + bare.len());
                return Ok(text);
            }
            at += line.len();
        }
        self.fail("heredoc not terminated")
    }
}

fn unindent(body: &str, indent: &str, indented: bool) -> String {
    if !indented {
        // HCL1 keeps the blanks before the closing mark.
        return format!("{body}{indent}");
    }
    let all = body.split_terminator('\n').all(|line| line.starts_with(indent));
    if !all {
        return body.to_owned();
    }
    body.split_inclusive('\n').map(|line| line.strip_prefix(indent).unwrap_or(line)).collect()
}
