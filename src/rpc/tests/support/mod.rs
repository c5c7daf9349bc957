//! Reading of the recorded exchanges.

#![allow(clippy::unwrap_used, dead_code, reason = "a test; each uses a part")]

use std::fmt::Write as _;

use crs_rpc::codec::Token;

/// An exchange as it was recorded.
pub(crate) struct Exchange {
    pub(crate) title: String,
    pub(crate) request: [Vec<u8>; 2],
    pub(crate) response: [Vec<u8>; 2],
    /// The bodies in words, as whoever recorded them decoded them.
    pub(crate) told: [Option<String>; 2],
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes();
    assert!(digits.len().is_multiple_of(2), "odd hex");
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hex"))
        .collect()
}

pub(crate) fn exchanges(text: &str) -> Vec<Exchange> {
    text.split("\n# ")
        .skip(1)
        .map(|block| {
            let find = |mark: &str| block.lines().find_map(|line| line.strip_prefix(mark));
            let bytes = |mark: &str| unhex(find(mark).unwrap_or_default());
            Exchange {
                title: block.lines().next().unwrap_or_default().to_owned(),
                request: [bytes(">h "), bytes(">b ")],
                response: [bytes("<h "), bytes("<b ")],
                told: [find("=req ").map(str::to_owned), find("=rsp ").map(str::to_owned)],
            }
        })
        .collect()
}

/// The same value with every map sorted: Go writes free-form maps in no order.
pub(crate) fn canonical(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let rest = canonical_value(bytes, &mut out);
    assert!(rest.is_empty());
    out
}

fn canonical_value<'a>(bytes: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let (token, len) = Token::read(bytes).unwrap().unwrap();
    let (head, mut rest) = bytes.split_at(len);
    out.extend_from_slice(head);
    match token {
        Token::Raw(len) | Token::Ext(len) => {
            out.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
        }
        Token::Array(len) => {
            for _ in 0..len {
                rest = canonical_value(rest, out);
            }
        }
        Token::Map(len) => {
            let mut pairs = Vec::new();
            for _ in 0..len {
                let (Token::Raw(key_len), head) = Token::read(rest).unwrap().unwrap() else {
                    panic!("a key that is no text")
                };
                let key = rest[head..head + key_len].to_vec();
                let mut pair = rest[..head + key_len].to_vec();
                rest = canonical_value(&rest[head + key_len..], &mut pair);
                pairs.push((key, pair));
            }
            pairs.sort();
            pairs.iter().for_each(|(_, pair)| out.extend_from_slice(pair));
        }
        _ => {}
    }
    rest
}

/// The value in the words of the recording.
pub(crate) fn tell(bytes: &[u8]) -> String {
    let mut out = String::new();
    assert!(tell_value(bytes, &mut out).is_empty());
    out
}

fn tell_value<'a>(bytes: &'a [u8], out: &mut String) -> &'a [u8] {
    let (token, len) = Token::read(bytes).unwrap().unwrap();
    let mut rest = &bytes[len..];
    match token {
        Token::Nil => out.push_str("None"),
        Token::Bool(value) => out.push_str(if value { "True" } else { "False" }),
        Token::Uint(value) => write!(out, "{value}").unwrap(),
        Token::Int(value) => write!(out, "{value}").unwrap(),
        Token::Float(value, _) => {
            // As Python prints it: an exponent has two digits, and is used below 1e-4.
            let mut text = format!("{value:?}");
            if value != 0.0 && value.abs() < 1e-4 {
                let (digits, exponent) = text.split_once("e-").expect("small numbers have an exponent");
                text = format!("{}e-{exponent:0>2}", digits.trim_end_matches(".0"));
            }
            out.push_str(&text);
        }
        Token::Raw(len) | Token::Ext(len) => {
            tell_raw(&rest[..len], out);
            rest = &rest[len..];
        }
        Token::Array(len) => {
            out.push('[');
            for i in 0..len {
                if i > 0 {
                    out.push_str(", ");
                }
                rest = tell_value(rest, out);
            }
            out.push(']');
        }
        Token::Map(len) => {
            out.push('{');
            for i in 0..len {
                if i > 0 {
                    out.push_str(", ");
                }
                let mut key = String::new();
                rest = tell_value(rest, &mut key);
                out.push_str(key.trim_matches('\''));
                out.push_str(": ");
                rest = tell_value(rest, out);
            }
            out.push('}');
        }
    }
    rest
}

fn tell_raw(bytes: &[u8], out: &mut String) {
    let text = std::str::from_utf8(bytes).ok();
    let printable = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    match text.filter(|text| text.chars().all(printable)) {
        Some(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\n' => out.push_str("\\n"),
                    '\t' => out.push_str("\\t"),
                    '\\' => out.push_str("\\\\"),
                    c if c == quote => {
                        out.push('\\');
                        out.push(c);
                    }
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        None => {
            out.push_str("raw:");
            bytes.iter().for_each(|byte| write!(out, "{byte:02x}").unwrap());
        }
    }
}
