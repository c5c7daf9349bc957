//! The query string, read as Go's `url.ParseQuery` reads it.

use std::fmt::Write as _;

/// Parameters in the order given. Names may repeat; what cannot be decoded is dropped, as Go does.
#[derive(Debug, Default, Clone)]
pub(crate) struct Params(Vec<(String, String)>);

/// More parameters than any request of ours needs; the rest is dropped.
const MAX_PARAMS: usize = 256;

impl Params {
    pub(crate) fn parse(query: Option<&str>) -> Params {
        let Some(query) = query.filter(|query| !query.is_empty()) else { return Params::default() };
        let mut params = Vec::new();
        for pair in query.split(['&', ';']).filter(|pair| !pair.is_empty()).take(MAX_PARAMS) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) {
                params.push((name, value));
            }
        }
        Params(params)
    }

    /// The first value of a name; empty where it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    /// Whether a name is there, with whatever value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// All values of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

/// Resolves `%XX`, and in a query `+` as a space. `None` where an escape is malformed or the result is not UTF-8.
pub(crate) fn unescape(text: &str, plus_is_space: bool) -> Option<String> {
    let bytes = unescape_bytes(text, plus_is_space)?;
    String::from_utf8(bytes).ok()
}

/// As [`unescape`], before it is known to be UTF-8. `None` where an escape is malformed.
pub(crate) fn unescape_bytes(text: &str, plus_is_space: bool) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let high = hex(*bytes.get(at + 1)?)?;
                let low = hex(*bytes.get(at + 2)?)?;
                out.push(high << 4 | low);
                at += 2;
            }
            b'+' if plus_is_space => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    Some(out)
}

/// Escapes a path for a `Location`, as Go prints a URL's path.
pub(crate) fn escape_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for &byte in path.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(byte as char),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'@' => {
                out.push(byte as char);
            }
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Go's `path.Clean` for an absolute path, keeping a trailing slash; `None` where it is clean already.
pub(crate) fn clean_path(path: &str) -> Option<String> {
    let dirty = path.contains("//")
        || path.contains("/./")
        || path.contains("/../")
        || path.ends_with("/.")
        || path.ends_with("/..");
    if !dirty && path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    let mut clean = String::with_capacity(path.len() + 1);
    for part in &parts {
        clean.push('/');
        clean.push_str(part);
    }
    if clean.is_empty() || path.ends_with('/') {
        clean.push('/');
    }
    Some(clean)
}

/// Go's `strconv.ParseUint` in base 10 for 64 bits, with its words.
pub(crate) fn parse_uint(text: &str) -> Result<u64, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("strconv.ParseUint: parsing {}: invalid syntax", go_quote(text)));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {}: value out of range", go_quote(text)))
}

/// Consul's check of an id that it looks up, with its words.
pub(crate) fn check_uuid(text: &str) -> Result<(), String> {
    if text.len() != 36 {
        return Err("UUID must be 36 characters".to_owned());
    }
    let hyphens = text.bytes().filter(|byte| *byte == b'-').count();
    if hyphens > 4 {
        return Err(format!("UUID should have maximum of 4 \"-\"; got {hyphens}"));
    }
    match text.chars().find(|c| *c != '-' && !c.is_ascii_hexdigit()) {
        Some(c) => Err(format!("Invalid UUID: encoding/hex: invalid byte: U+{:04X} '{c}'", c as u32)),
        None => Ok(()),
    }
}

/// Go's `%q`.
pub(crate) fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Go's `strconv.ParseBool`.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_go_reads_it() {
        let params = Params::parse(Some("a=1&b&c=x+y%2Bz&a=2&%zz=1&d=%zz&=e&&f;g=h"));
        assert_eq!(params.get("a"), "1");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert!(params.has("b") && params.get("b").is_empty());
        assert_eq!(params.get("c"), "x y+z");
        assert!(!params.has("d") && params.has("f") && params.get("g") == "h");
        assert_eq!(params.get(""), "e");
    }

    #[test]
    fn paths_are_cleaned_as_gos_mux_does() {
        for (path, clean) in [
            ("/v1/kv//x", "/v1/kv/x"),
            ("/v1/kv/a/../b", "/v1/kv/b"),
            ("//v1/kv/a", "/v1/kv/a"),
            ("/v1/kv/a/./b", "/v1/kv/a/b"),
            ("/v1/kv/a//", "/v1/kv/a/"),
            ("/..", "/"),
            ("/a/..", "/"),
            ("a", "/a"),
        ] {
            assert_eq!(clean_path(path).as_deref(), Some(clean), "{path}");
        }
        for path in ["/", "/v1/kv/a/", "/v1/kv/a.b/..c/.d"] {
            assert_eq!(clean_path(path), None, "{path}");
        }
    }

    #[test]
    fn numbers_are_refused_in_gos_words() {
        assert_eq!(parse_uint("18446744073709551615"), Ok(u64::MAX));
        for (text, why) in [
            ("xx", "invalid syntax"),
            ("", "invalid syntax"),
            ("-1", "invalid syntax"),
            ("+1", "invalid syntax"),
        ] {
            assert_eq!(parse_uint(text), Err(format!("strconv.ParseUint: parsing \"{text}\": {why}")));
        }
        assert!(parse_uint("18446744073709551616").unwrap_err().ends_with("value out of range"));
    }

    proptest::proptest! {
        #[test]
        fn survives_junk(text in ".{0,80}") {
            let _ = Params::parse(Some(&text));
            let _ = unescape(&text, false);
            if let Some(clean) = clean_path(&text) {
                proptest::prop_assert_eq!(clean_path(&clean), None);
            }
        }
    }
}
