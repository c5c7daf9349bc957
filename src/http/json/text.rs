//! Strings, numbers and pretty printing as Go's encoder does them, which clients compare byte for byte.

use std::io::Write as _;

use base64::Engine as _;

/// Appends a quoted string: HTML's special characters and the two separators that JavaScript trips over are escaped,
/// as by Go's default encoder.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            b'<' => b"\\u003c",
            b'>' => b"\\u003e",
            b'&' => b"\\u0026",
            0..0x20 => {
                out.extend_from_slice(&bytes[from..at]);
                let _ = write!(out, "\\u00{byte:02x}");
                at += 1;
                from = at;
                continue;
            }
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => b"\\u2028",
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => b"\\u2029",
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(escape);
        at += if byte == 0xe2 { 3 } else { 1 };
        from = at;
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// Appends a number.
pub(crate) fn push_int(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    push_uint(out, number.unsigned_abs());
}

/// Appends a number.
pub(crate) fn push_uint(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `true` or `false`.
pub(crate) fn push_bool(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends bytes as a base64 string, `null` for none.
pub(crate) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_empty() {
        out.extend_from_slice(b"null");
        return;
    }
    out.push(b'"');
    let from = out.len();
    let len = bytes.len().div_ceil(3) * 4;
    out.resize(from + len, 0);
    let written = base64::engine::general_purpose::STANDARD.encode_slice(bytes, &mut out[from..]);
    out.truncate(from + written.expect("the room was made for it: four bytes per started three"));
    out.push(b'"');
}

/// Appends a list, each item by `push`.
pub(crate) fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'[');
    let mut first = true;
    for item in items {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

/// Appends an object with keys in the order given.
pub(crate) fn push_map<'a, T>(
    out: &mut Vec<u8>,
    entries: impl IntoIterator<Item = (&'a str, T)>,
    mut push: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'{');
    let mut first = true;
    for (key, value) in entries {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        push_string(out, key);
        out.push(b':');
        push(out, value);
    }
    out.push(b'}');
}

/// Compact JSON of ours, indented by four spaces, with a newline at its end: what Consul answers to `?pretty` and
/// always in dev mode.
pub(crate) fn pretty(compact: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(compact.len() * 2);
    let mut depth = 0usize;
    let mut in_string = false;
    let mut escaped = false;
    let newline = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + depth * 4, b' ');
    };
    for (at, &byte) in compact.iter().enumerate() {
        if in_string {
            out.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'{' | b'[' => {
                out.push(byte);
                depth += 1;
                if !matches!(compact.get(at + 1), Some(b'}' | b']')) {
                    newline(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if at > 0 && !matches!(compact[at - 1], b'{' | b'[') {
                    newline(&mut out, depth);
                }
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                newline(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> String {
        let mut out = Vec::new();
        push_string(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        assert_eq!(string("plain äö"), "\"plain äö\"");
        assert_eq!(string("out\n\t\"<>&\\"), r#""out\n\t\"\u003c\u003e\u0026\\""#);
        assert_eq!(string("\u{2028}\u{2029}\u{2030}"), "\"\\u2028\\u2029\u{2030}\"");
        assert_eq!(string("\u{1}\u{8}\u{7f}"), "\"\\u0001\\u0008\u{7f}\"");
    }

    #[test]
    fn numbers_and_bytes() {
        let mut out = Vec::new();
        push_uint(&mut out, u64::MAX);
        push_int(&mut out, i64::MIN);
        push_uint(&mut out, 0);
        push_base64(&mut out, b"");
        push_base64(&mut out, b"hello <world>");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "18446744073709551615-92233720368547758080null\"aGVsbG8gPHdvcmxkPg==\""
        );
    }

    #[test]
    fn pretty_is_gos_indent_with_a_newline() {
        let said = |text: &str| String::from_utf8(pretty(text.as_bytes())).unwrap();
        assert_eq!(said("null"), "null\n");
        assert_eq!(said("[]"), "[]\n");
        assert_eq!(
            said(r#"{"a":[1,{"b{,\"":{}}],"c":"x:y"}"#),
            "{\n    \"a\": [\n        1,\n        {\n            \"b{,\\\"\": {}\n        }\n    ],\n    \"c\": \"x:y\"\n}\n"
        );
    }

    proptest::proptest! {
        #[test]
        fn every_string_reads_back(text in ".*") {
            let json = string(&text);
            proptest::prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn every_byte_string_reads_back(bytes in proptest::collection::vec(proptest::num::u8::ANY, 1..100)) {
            let mut out = Vec::new();
            push_base64(&mut out, &bytes);
            let text: String = serde_json::from_slice(&out).unwrap();
            let back = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            proptest::prop_assert_eq!(back, bytes);
        }
    }
}
