//! JSON with positions. Error texts are those of Go's decoder, which Consul passes on.

use crate::cursor::Cursor;
use crate::source::{Document, MAX_DEPTH, SyntaxError};
use crate::value::{Entry, Kind, Map, Pos, Value};

const END: &str = "unexpected end of JSON input";

/// Reads a whole source. One without a byte is an empty object, as Consul takes it.
pub(crate) fn read(file: &str, text: &str) -> Result<Document, SyntaxError> {
    let mut reader = Reader { cursor: Cursor::new(file, text), repeated: Vec::new() };
    if text.is_empty() {
        let root = Value { kind: Kind::Map(Map::default()), pos: reader.cursor.pos() };
        return Ok(Document { root, repeated: Vec::new(), is_json: true });
    }
    let root = reader.value("looking for beginning of value", MAX_DEPTH)?;
    reader.blank();
    if let Some(c) = reader.cursor.peek() {
        return Err(reader.unexpected(c, "after top-level value"));
    }
    let shape = match root.kind {
        Kind::Map(_) => return Ok(Document { root, repeated: reader.repeated, is_json: true }),
        Kind::Null => {
            let root = Value { kind: Kind::Map(Map::default()), pos: root.pos };
            return Ok(Document { root, repeated: reader.repeated, is_json: true });
        }
        Kind::List(_) => "array",
        Kind::String(_) => "string",
        Kind::Bool(_) => "bool",
        Kind::Int(_) | Kind::Float(_) => "number",
    };
    Err(SyntaxError {
        text: format!("json: cannot unmarshal {shape} into Go value of type map[string]interface {{}}"),
        pos: root.pos,
    })
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    repeated: Vec<(String, Pos)>,
}

impl Reader<'_> {
    fn blank(&mut self) {
        self.cursor.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    }

    fn unexpected(&self, c: char, place: &str) -> SyntaxError {
        let shown = match c {
            '\'' => "'\\''".to_owned(),
            '"' => "'\"'".to_owned(),
            c => format!("{c:?}"),
        };
        self.cursor.error(format!("invalid character {shown} {place}"))
    }

    /// The next character after blanks, not taken.
    fn ahead(&mut self) -> Result<char, SyntaxError> {
        self.blank();
        self.cursor.peek().ok_or_else(|| self.cursor.error(END))
    }

    fn value(&mut self, place: &str, depth: usize) -> Result<Value, SyntaxError> {
        let c = self.ahead()?;
        let pos = self.cursor.pos();
        if depth == 0 {
            return Err(self.cursor.error("nested too deeply"));
        }
        let kind = match c {
            '{' => Kind::Map(self.object(depth - 1)?),
            '[' => Kind::List(self.array(depth - 1)?),
            '"' => Kind::String(self.string()?),
            '-' | '0'..='9' => self.number()?,
            't' => self.word("true", Kind::Bool(true))?,
            'f' => self.word("false", Kind::Bool(false))?,
            'n' => self.word("null", Kind::Null)?,
            c => return Err(self.unexpected(c, place)),
        };
        Ok(Value { kind, pos })
    }

    fn object(&mut self, depth: usize) -> Result<Map, SyntaxError> {
        self.cursor.next();
        let mut map = Map::default();
        let mut places = std::collections::HashMap::new();
        if self.ahead()? == '}' {
            self.cursor.next();
            return Ok(map);
        }
        loop {
            let c = self.ahead()?;
            if c != '"' {
                return Err(self.unexpected(c, "looking for beginning of object key string"));
            }
            let pos = self.cursor.pos();
            let key = self.string()?;
            let c = self.ahead()?;
            if c != ':' {
                return Err(self.unexpected(c, "after object key"));
            }
            self.cursor.next();
            let value = self.value("looking for beginning of value", depth)?;
            match places.entry(key) {
                std::collections::hash_map::Entry::Occupied(place) => {
                    self.repeated.push((place.key().clone(), pos.clone()));
                    let entry: &mut Entry = &mut map.0[*place.get()];
                    entry.pos = pos;
                    entry.value = value;
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    let key = place.key().clone();
                    place.insert(map.0.len());
                    map.0.push(Entry { key, pos, value });
                }
            }
            match self.ahead()? {
                ',' => self.cursor.next(),
                '}' => {
                    self.cursor.next();
                    return Ok(map);
                }
                c => return Err(self.unexpected(c, "after object key:value pair")),
            };
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, SyntaxError> {
        self.cursor.next();
        let mut items = Vec::new();
        if self.ahead()? == ']' {
            self.cursor.next();
            return Ok(items);
        }
        loop {
            items.push(self.value("looking for beginning of value", depth)?);
            match self.ahead()? {
                ',' => self.cursor.next(),
                ']' => {
                    self.cursor.next();
                    return Ok(items);
                }
                c => return Err(self.unexpected(c, "after array element")),
            };
        }
    }

    fn word(&mut self, word: &'static str, kind: Kind) -> Result<Kind, SyntaxError> {
        for expected in word.chars() {
            match self.cursor.peek() {
                Some(c) if c == expected => {
                    self.cursor.next();
                }
                Some(c) => {
                    return Err(self.unexpected(c, &format!("in literal {word} (expecting {expected:?})")));
                }
                None => return Err(self.cursor.error(END)),
            }
        }
        Ok(kind)
    }

    fn number(&mut self) -> Result<Kind, SyntaxError> {
        let digits = |c: char| c.is_ascii_digit();
        let start = self.cursor.rest();
        if self.cursor.peek() == Some('-') {
            self.cursor.next();
            self.digit("in numeric literal")?;
        }
        if self.cursor.peek() == Some('0') {
            self.cursor.next();
        } else {
            self.cursor.take_while(digits);
        }
        let mut whole = true;
        if self.cursor.peek() == Some('.') {
            whole = false;
            self.cursor.next();
            self.digit("after decimal point in numeric literal")?;
            self.cursor.take_while(digits);
        }
        if matches!(self.cursor.peek(), Some('e' | 'E')) {
            whole = false;
            self.cursor.next();
            if matches!(self.cursor.peek(), Some('+' | '-')) {
                self.cursor.next();
            }
            self.digit("in exponent of numeric literal")?;
            self.cursor.take_while(digits);
        }
        let text = &start[..start.len() - self.cursor.rest().len()];
        if whole && let Ok(number) = text.parse() {
            return Ok(Kind::Int(number));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Kind::Float(number)),
            _ => Err(self
                .cursor
                .error(format!("json: cannot unmarshal number {text} into Go value of type float64"))),
        }
    }

    /// Demands a digit, without taking it.
    fn digit(&self, place: &str) -> Result<(), SyntaxError> {
        match self.cursor.peek() {
            Some(c) if c.is_ascii_digit() => Ok(()),
            Some(c) => Err(self.unexpected(c, place)),
            None => Err(self.cursor.error(END)),
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.cursor.next();
        let mut out = String::new();
        loop {
            out.push_str(self.cursor.take_while(|c| c != '"' && c != '\\' && c >= ' '));
            match self.cursor.peek() {
                None => return Err(self.cursor.error(END)),
                Some('"') => {
                    self.cursor.next();
                    return Ok(out);
                }
                Some('\\') => {
                    self.cursor.next();
                    out.push(self.escape()?);
                }
                Some(c) => return Err(self.unexpected(c, "in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let c = self.cursor.peek().ok_or_else(|| self.cursor.error(END))?;
        let plain = match c {
            '"' | '\\' | '/' => c,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                self.cursor.next();
                return self.unicode();
            }
            c => return Err(self.unexpected(c, "in string escape code")),
        };
        self.cursor.next();
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex4()?;
        if (0xd800..0xdc00).contains(&first) {
            // A lone surrogate becomes the replacement character, as in Go; the next escape is looked at only when it is
            // the other half.
            let rest = self.cursor.rest();
            let second = rest
                .strip_prefix("\\u")
                .and_then(|rest| rest.get(..4))
                .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .and_then(|digits| u32::from_str_radix(digits, 16).ok())
                .filter(|second| (0xdc00..0xe000).contains(second));
            if let Some(second) = second {
                self.cursor.skip(6);
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut code = 0;
        for _ in 0..4 {
            let c = self.cursor.peek().ok_or_else(|| self.cursor.error(END))?;
            let Some(digit) = c.to_digit(16) else {
                return Err(self.unexpected(c, "in \\u hexadecimal character escape"));
            };
            code = code * 16 + digit;
            self.cursor.next();
        }
        Ok(code)
    }
}
