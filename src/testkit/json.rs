//! JSON as it stands on the wire: keys in their order, numbers in their digits.
//!
//! A [`Json`] compares key by key *in order*, and a pattern may hold wildcards in place of what changes from run to
//! run: `"<index>"` (an integer of 1 or more), `"<number>"`, `"<text>"`, `"<uuid>"`, `"<object>"`, `"<array>"` and `"<any>"`.

use std::fmt;

/// A JSON value that keeps what it was written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// The digits as written.
    Number(String),
    /// A decoded string.
    Text(String),
    /// A list.
    Array(Vec<Json>),
    /// Members in the order written, doubles kept.
    Object(Vec<(String, Json)>),
}

/// Nesting beyond this is refused.
const DEPTH_LIMIT: usize = 100;

impl Json {
    /// Reads one value; blanks may stand around it, nothing else.
    ///
    /// # Errors
    /// A sentence with the byte where reading stopped.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
        let value = reader.value(0)?;
        reader.blanks();
        if reader.at == reader.bytes.len() { Ok(value) } else { reader.fail("nothing after the value") }
    }

    /// The member of an object, or `Null`.
    pub fn get(&self, key: &str) -> &Json {
        match self {
            Json::Object(members) => {
                members.iter().find(|(name, _)| name == key).map_or(&Json::Null, |(_, value)| value)
            }
            _ => &Json::Null,
        }
    }

    /// The item of an array, or `Null`.
    pub fn at(&self, place: usize) -> &Json {
        match self {
            Json::Array(items) => items.get(place).unwrap_or(&Json::Null),
            _ => &Json::Null,
        }
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        if let Json::Text(text) = self { Some(text) } else { None }
    }

    /// The number, if it is a non-negative integer.
    pub fn number(&self) -> Option<u64> {
        if let Json::Number(digits) = self { digits.parse().ok() } else { None }
    }

    /// How many items or members it has.
    pub fn len(&self) -> usize {
        match self {
            Json::Array(items) => items.len(),
            Json::Object(members) => members.len(),
            _ => 0,
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names of an object's members, in order.
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Json::Object(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// With every list of objects in the order of their member `key`: for answers whose order is nobody's promise.
    #[must_use]
    pub fn sorted_by(self, key: &str) -> Self {
        match self {
            Json::Array(items) => {
                let mut items: Vec<Json> = items.into_iter().map(|item| item.sorted_by(key)).collect();
                items.sort_by(|a, b| a.get(key).text().cmp(&b.get(key).text()));
                Json::Array(items)
            }
            Json::Object(members) => Json::Object(
                members.into_iter().map(|(name, member)| (name, member.sorted_by(key))).collect(),
            ),
            other => other,
        }
    }

    /// Whether this value fits `pattern`.
    ///
    /// # Errors
    /// Where it first does not, and how.
    pub fn fits(&self, pattern: &Json) -> Result<(), String> {
        fit(self, pattern, "$")
    }

    /// As Consul writes it: compact, or with four blanks and a newline at the end.
    pub fn encode(&self, pretty: bool) -> String {
        let mut out = String::new();
        write(self, pretty.then_some(0), &mut out);
        if pretty {
            out.push('\n');
        }
        out
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encode(false))
    }
}

fn fit(actual: &Json, pattern: &Json, path: &str) -> Result<(), String> {
    if let Json::Text(wildcard) = pattern {
        let fits = match wildcard.as_str() {
            "<any>" => true,
            "<index>" => actual.number().is_some_and(|number| number > 0),
            "<number>" => matches!(actual, Json::Number(_)),
            "<text>" => matches!(actual, Json::Text(_)),
            "<uuid>" => actual.text().is_some_and(is_uuid),
            "<object>" => matches!(actual, Json::Object(_)),
            "<array>" => matches!(actual, Json::Array(_)),
            _ => actual == pattern,
        };
        return if fits { Ok(()) } else { Err(format!("{path}: {actual} is not {pattern}")) };
    }
    match (actual, pattern) {
        (Json::Object(have), Json::Object(want)) => {
            let (have_keys, want_keys) = (actual.keys(), pattern.keys());
            if have_keys != want_keys {
                let missing: Vec<_> = want_keys.iter().filter(|key| !have_keys.contains(key)).collect();
                let extra: Vec<_> = have_keys.iter().filter(|key| !want_keys.contains(key)).collect();
                return Err(if missing.is_empty() && extra.is_empty() {
                    format!("{path}: keys in the order {have_keys:?}, not {want_keys:?}")
                } else {
                    format!("{path}: missing keys {missing:?}, extra keys {extra:?}")
                });
            }
            have.iter()
                .zip(want)
                .try_for_each(|((key, value), (_, wanted))| fit(value, wanted, &format!("{path}.{key}")))
        }
        (Json::Array(have), Json::Array(want)) => {
            if have.len() != want.len() {
                return Err(format!("{path}: {} items, not {}", have.len(), want.len()));
            }
            have.iter()
                .zip(want)
                .enumerate()
                .try_for_each(|(place, (value, wanted))| fit(value, wanted, &format!("{path}[{place}]")))
        }
        _ if actual == pattern => Ok(()),
        _ => Err(format!("{path}: {actual} is not {pattern}")),
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        })
}

fn write(value: &Json, indent: Option<usize>, out: &mut String) {
    let line = |depth: usize, out: &mut String| {
        if indent.is_some() {
            out.push('\n');
            out.extend(std::iter::repeat_n("    ", depth));
        }
    };
    let depth = indent.unwrap_or(0);
    let inner = indent.map(|depth| depth + 1);
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(truth) => out.push_str(if *truth { "true" } else { "false" }),
        Json::Number(digits) => out.push_str(digits),
        Json::Text(text) => quote(text, out),
        Json::Array(items) if items.is_empty() => out.push_str("[]"),
        Json::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                write(item, inner, out);
            }
            line(depth, out);
            out.push(']');
        }
        Json::Object(members) if members.is_empty() => out.push_str("{}"),
        Json::Object(members) => {
            out.push('{');
            for (place, (key, member)) in members.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                line(depth + 1, out);
                quote(key, out);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write(member, inner, out);
            }
            line(depth, out);
            out.push('}');
        }
    }
}

/// Consul's escapes: those of the language it is written in, which also guards `<`, `>`, `&` and two line separators.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", character as u32));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn fail<T>(&self, wanted: &str) -> Result<T, String> {
        Err(format!("byte {}: expected {wanted}", self.at))
    }

    fn blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(|byte| b" \t\r\n".contains(byte)) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, String> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(value);
        }
        self.fail(word)
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEPTH_LIMIT {
            return self.fail("less nesting");
        }
        self.blanks();
        match self.bytes.get(self.at) {
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'[') => {
                self.at += 1;
                let mut items = Vec::new();
                self.blanks();
                if self.bytes.get(self.at) == Some(&b']') {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                loop {
                    items.push(self.value(depth + 1)?);
                    self.blanks();
                    match self.next() {
                        Some(b',') => {}
                        Some(b']') => return Ok(Json::Array(items)),
                        _ => return self.fail("',' or ']'"),
                    }
                }
            }
            Some(b'{') => {
                self.at += 1;
                let mut members = Vec::new();
                self.blanks();
                if self.bytes.get(self.at) == Some(&b'}') {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                loop {
                    self.blanks();
                    let key = self.string()?;
                    self.blanks();
                    if self.next() != Some(b':') {
                        return self.fail("':'");
                    }
                    members.push((key, self.value(depth + 1)?));
                    self.blanks();
                    match self.next() {
                        Some(b',') => {}
                        Some(b'}') => return Ok(Json::Object(members)),
                        _ => return self.fail("',' or '}'"),
                    }
                }
            }
            Some(b'-' | b'0'..=b'9') => {
                let start = self.at;
                while self.bytes.get(self.at).is_some_and(|byte| b"+-.eE0123456789".contains(byte)) {
                    self.at += 1;
                }
                Ok(Json::Number(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()))
            }
            _ => self.fail("a value"),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        if self.next() != Some(b'"') {
            self.at -= 1;
            return self.fail("a string");
        }
        let mut out: Vec<u8> = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => return String::from_utf8(out).map_err(|error| error.to_string()),
                Some(b'\\') => {
                    let character = match self.next() {
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(same @ (b'"' | b'\\' | b'/')) => char::from(same),
                        Some(b'u') => self.escaped()?,
                        _ => return self.fail("an escape"),
                    };
                    out.extend(character.to_string().bytes());
                }
                Some(byte) if byte >= 0x20 => out.push(byte),
                _ => return self.fail("the end of the string"),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let first = self.four_digits()?;
        if (0xd800..0xdc00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.four_digits()?;
            let joined = 0x10000 + ((first - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
            return Ok(char::from_u32(joined).unwrap_or('\u{fffd}'));
        }
        Ok(char::from_u32(first).unwrap_or('\u{fffd}'))
    }

    fn four_digits(&mut self) -> Result<u32, String> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|four| std::str::from_utf8(four).ok());
        match digits.and_then(|four| u32::from_str_radix(four, 16).ok()) {
            Some(number) => {
                self.at += 4;
                Ok(number)
            }
            None => self.fail("four hexadecimal digits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Json::parse(text).unwrap()
    }

    #[test]
    fn keeps_order_and_digits() {
        let text = r#"{"b":[1.50,-2e9,null],"a":{"x":true,"y":"é\n\u003c\u0001"},"b":{}}"#;
        assert_eq!(json(text).encode(false), text);
    }

    #[test]
    fn pretty_is_four_blanks_and_a_newline() {
        assert_eq!(
            json(r#"{"a":[],"b":[1]}"#).encode(true),
            "{\n    \"a\": [],\n    \"b\": [\n        1\n    ]\n}\n"
        );
    }

    #[test]
    fn refuses_junk() {
        for junk in ["", "{", "[1,]", "{\"a\"}", "nul", "\"\\x\"", "\"\\u12\"", "1 2", "\"\n\""] {
            assert!(Json::parse(junk).is_err(), "{junk}");
        }
        assert!(Json::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn order_of_keys_matters() {
        assert_eq!(
            json(r#"{"a":1,"b":2}"#).fits(&json(r#"{"b":2,"a":1}"#)).unwrap_err(),
            r#"$: keys in the order ["a", "b"], not ["b", "a"]"#
        );
        assert_eq!(
            json(r#"{"a":{"x":1}}"#).fits(&json(r#"{"a":{"y":1}}"#)).unwrap_err(),
            r#"$.a: missing keys ["y"], extra keys ["x"]"#
        );
    }

    #[test]
    fn wildcards_stand_for_what_changes() {
        let actual = json(r#"{"i":7,"u":"11111111-2222-3333-4444-555555555555","t":"x","l":[0]}"#);
        actual.fits(&json(r#"{"i":"<index>","u":"<uuid>","t":"<text>","l":["<number>"]}"#)).unwrap();
        assert!(json("0").fits(&json("\"<index>\"")).is_err());
        assert!(json("\"x\"").fits(&json("\"<uuid>\"")).is_err());
        assert!(json("\"<index>\"").fits(&json("\"<index>\"")).is_err());
    }
}
