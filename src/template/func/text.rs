//! Functions on text.

use super::{Func, Param, func, str_at};
use crate::context::{Context, Outcome};
use crate::value::{Value, lossy, runes};
use Param::{Any, Int, Str, Strs};

pub(super) static FUNCS: &[Func] = &[
    func("toLower", &[Str], |_, values| Ok(map_chars(&str_at(values, 0), lower))),
    func("toUpper", &[Str], |_, values| Ok(map_chars(&str_at(values, 0), upper))),
    func("toTitle", &[Str], |_, values| Ok(to_title(&str_at(values, 0)))),
    func("trim", &[Str, Str], trim),
    func("trimPrefix", &[Str, Str], |_, values| {
        let text = str_at(values, 1);
        Ok(Value::text(text.strip_prefix(&*str_at(values, 0)).unwrap_or(&text)))
    }),
    func("trimSuffix", &[Str, Str], |_, values| {
        let text = str_at(values, 1);
        Ok(Value::text(text.strip_suffix(&*str_at(values, 0)).unwrap_or(&text)))
    }),
    func("trimSpace", &[Str], |_, values| Ok(Value::text(trim_space(&str_at(values, 0))))),
    func("split", &[Str, Str], split),
    func("join", &[Str, Strs], join),
    func("replaceAll", &[Str, Str, Str], replace_all),
    func("indent", &[Int, Str], indent),
    func("contains", &[Any, Any], |context, values| super::list::is_in(context, &values[1], &values[0])),
    func("in", &[Any, Any], |context, values| super::list::is_in(context, &values[0], &values[1])),
];

fn map_chars(text: &[u8], map: fn(char) -> char) -> Value {
    let mapped: String = runes(text).map(|(c, _)| c.map_or('\u{fffd}', map)).collect();
    Value::text(mapped)
}

/// One character for one, as Go maps case (no `ß` to `SS`).
fn lower(c: char) -> char {
    if c == '\u{130}' {
        return 'i';
    }
    single(c, c.to_lowercase())
}

fn upper(c: char) -> char {
    match u32::from(c) {
        // the small letters with a iota below: Unicode's simple mapping is the capital with the iota beside
        code @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => char::from_u32(code + 8).unwrap_or(c),
        code @ (0x1fb3 | 0x1fc3 | 0x1ff3) => char::from_u32(code + 9).unwrap_or(c),
        _ => single(c, c.to_uppercase()),
    }
}

fn title(c: char) -> char {
    match u32::from(c) {
        0x1c4..=0x1c6 => '\u{1c5}',
        0x1c7..=0x1c9 => '\u{1c8}',
        0x1ca..=0x1cc => '\u{1cb}',
        0x1f1..=0x1f3 => '\u{1f2}',
        0x10d0..=0x10fa | 0x10fd..=0x10ff => c,
        _ => upper(c),
    }
}

fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Go's `strings.Title`: a letter that follows no letter, digit, underscore or other non-blank of its kind.
fn to_title(text: &[u8]) -> Value {
    let mut before = ' ';
    let mapped: String = runes(text)
        .map(|(c, _)| {
            let c = c.unwrap_or('\u{fffd}');
            let out = if separates(before) { title(c) } else { c };
            before = c;
            out
        })
        .collect();
    Value::text(mapped)
}

fn separates(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !c.is_alphanumeric() && c.is_whitespace()
}

fn trim(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let (cut, text) = (str_at(values, 0), str_at(values, 1));
    let cut = cut.to_str().into_owned();
    let text = text.to_str();
    Ok(Value::text(text.trim_matches(|c| cut.contains(c))))
}

/// Without the blanks at both ends, by Go's idea of a blank.
pub(super) fn trim_space(text: &[u8]) -> &[u8] {
    let blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
    let start: usize = runes(text).take_while(|(c, _)| blank(*c)).map(|(_, length)| length).sum();
    let rest = &text[start..];
    let mut end = 0;
    let mut at = 0;
    for (c, length) in runes(rest) {
        at += length;
        if !blank(c) {
            end = at;
        }
    }
    &rest[..end]
}

/// Pieces of a text; an empty separator cuts between characters.
pub(super) fn pieces<'a>(text: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let mut found = Vec::new();
    if separator.is_empty() {
        let mut at = 0;
        for (_, length) in runes(text) {
            found.push(&text[at..at + length]);
            at += length;
        }
        return found;
    }
    let mut rest = text;
    while let Some(at) = find(rest, separator) {
        found.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    found.push(rest);
    found
}

pub(super) fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    if what.is_empty() {
        return Some(0);
    }
    text.windows(what.len()).position(|window| window == what)
}

fn split(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let (separator, text) = (str_at(values, 0), str_at(values, 1));
    let text = trim_space(&text);
    if text.is_empty() {
        return Ok(Value::str_list(Vec::<&str>::new()));
    }
    context.work(text.len().saturating_mul(if separator.is_empty() { 40 } else { 2 }))?;
    Ok(Value::str_list(pieces(text, &separator)))
}

fn join(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let separator = str_at(values, 0);
    let items = values[1].as_items().unwrap_or(&[]);
    let length = |value: &Value| value.as_text().map_or(0, |text| text.len());
    context.work(items.iter().map(|item| length(item) + separator.len()).sum())?;
    let mut out = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(&separator);
        }
        if let Some(text) = item.as_text() {
            out.extend_from_slice(text);
        }
    }
    Ok(Value::text(out))
}

fn replace_all(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let (from, to, text) = (str_at(values, 0), str_at(values, 1), str_at(values, 2));
    let hits = if from.is_empty() { runes(&text).count() + 1 } else { pieces(&text, &from).len() };
    context.work(text.len().saturating_add(hits.saturating_mul(to.len())))?;
    let mut out = Vec::new();
    if from.is_empty() {
        out.extend_from_slice(&to);
    }
    for (at, piece) in pieces(&text, &from).into_iter().enumerate() {
        if at > 0 && !from.is_empty() {
            out.extend_from_slice(&to);
        }
        out.extend_from_slice(piece);
        if from.is_empty() {
            out.extend_from_slice(&to);
        }
    }
    Ok(Value::text(out))
}

fn indent(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let text = str_at(values, 1);
    let Some(blanks) = values[0].as_int().and_then(|number| usize::try_from(number).ok()) else {
        return Err("indent value must be a positive integer".into());
    };
    let lines = pieces(&text, b"\n");
    context.work(text.len().saturating_add(lines.len().saturating_mul(blanks)))?;
    let mut out = Vec::new();
    for (at, line) in lines.into_iter().enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        if !line.is_empty() {
            out.resize(out.len() + blanks, b' ');
            out.extend_from_slice(line);
        }
    }
    Ok(Value::text(out))
}

/// For other functions of text.
pub(super) fn owned(text: &[u8]) -> String {
    lossy(text).into_owned()
}
