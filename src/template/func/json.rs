//! Go's JSON: keys in order, `<`, `>` and `&` escaped, numbers as Go writes them.

use serde_json::Value as Json;

use crate::context::{Context, Fault};
use crate::value::{Text, Value, lossy, runes};

/// Values inside one another; what is parsed is bounded by its reader, what is built up by a template is not.
const MAX_DEPTH: usize = 200;

/// How to write.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    /// Escape what HTML would take for markup.
    pub(crate) html: bool,
    /// On several lines, indented by two blanks.
    pub(crate) pretty: bool,
}

pub(crate) fn write(context: &mut Context<'_>, value: &Value, style: Style) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    put(context, &mut out, value, style, 0)?;
    Ok(out)
}

fn newline(out: &mut Vec<u8>, style: Style, depth: usize) {
    if style.pretty {
        out.push(b'\n');
        out.resize(out.len() + depth * 2, b' ');
    }
}

fn put(
    context: &mut Context<'_>,
    out: &mut Vec<u8>,
    value: &Value,
    style: Style,
    depth: usize,
) -> Result<(), Fault> {
    context.step()?;
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH}").into());
    }
    match value {
        Value::Invalid | Value::Nil | Value::NilPtr(_) => out.extend_from_slice(b"null"),
        Value::Bool(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Value::Int(number) | Value::Int64(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Uint(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) => {
            if !number.is_finite() {
                let shown = crate::go::float(*number);
                return Err(format!("json: unsupported value: {shown}").into());
            }
            out.extend_from_slice(float(*number).as_bytes());
        }
        Value::Str(text) => {
            context.work(text.len())?;
            string(out, text, style.html);
        }
        Value::List(list) if list.nil => out.extend_from_slice(b"null"),
        Value::List(list) if list.items.is_empty() => out.extend_from_slice(b"[]"),
        Value::List(list) => {
            out.push(b'[');
            for (at, item) in list.items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                newline(out, style, depth + 1);
                put(context, out, item, style, depth + 1)?;
            }
            newline(out, style, depth);
            out.push(b']');
        }
        Value::Map(map) if map.nil => out.extend_from_slice(b"null"),
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, entry)| {
                let key = match key {
                    crate::value::MapKey::Text(text) => text.clone(),
                    crate::value::MapKey::Int(number) => Text::from(number.to_string()),
                };
                (key, entry)
            });
            object(context, out, entries, style, depth)?;
        }
        Value::Ptr(record) | Value::Struct(record) => {
            let entries = record.printed().map(|(field, entry)| (Text::from(field.name), entry));
            object(context, out, entries, style, depth)?;
        }
        Value::Complex(_) | Value::Range(..) | Value::Scratch(_) => {
            return Err(format!("json: unsupported type: {}", value.type_name()).into());
        }
    }
    Ok(())
}

fn object<'v>(
    context: &mut Context<'_>,
    out: &mut Vec<u8>,
    entries: impl Iterator<Item = (Text, &'v Value)>,
    style: Style,
    depth: usize,
) -> Result<(), Fault> {
    out.push(b'{');
    let mut any = false;
    for (key, entry) in entries {
        if any {
            out.push(b',');
        }
        any = true;
        newline(out, style, depth + 1);
        string(out, &key, style.html);
        out.extend_from_slice(if style.pretty { b": " } else { b":" });
        put(context, out, entry, style, depth + 1)?;
    }
    if any {
        newline(out, style, depth);
    }
    out.push(b'}');
    Ok(())
}

/// A number as ECMAScript writes it, which Go follows.
fn float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
            _ => text,
        };
    }
    format!("{value}")
}

pub(crate) fn string(out: &mut Vec<u8>, text: &[u8], html: bool) {
    out.push(b'"');
    let mut at = 0;
    for (c, length) in runes(text) {
        let bytes = &text[at..at + length];
        at += length;
        match c {
            None => out.extend_from_slice(b"\\ufffd"),
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some(c)
                if c < ' '
                    || c == '\u{2028}'
                    || c == '\u{2029}'
                    || (html && matches!(c, '<' | '>' | '&')) =>
            {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            Some(_) => out.extend_from_slice(bytes),
        }
    }
    out.push(b'"');
}

/// Reads JSON as Go does into an untyped value: every number is a float.
pub(crate) fn read(text: &[u8]) -> Result<Value, Fault> {
    let json: Json = serde_json::from_str(&lossy(text)).map_err(|error| Fault::Bad(error.to_string()))?;
    Ok(from_json(&json, false))
}

/// A JSON value; whole numbers stay whole if asked for.
pub(crate) fn from_json(json: &Json, whole: bool) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) if whole => Value::Int(number),
            _ => Value::Float(number.as_f64().unwrap_or(0.0)),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(items) => Value::any_list(items.iter().map(|item| from_json(item, whole)).collect()),
        Json::Object(entries) => Value::any_map(
            entries.iter().map(|(key, entry)| (Text::from(key.as_str()), from_json(entry, whole))),
        ),
    }
}

/// A value as JSON, for the dialect that computes with it. Bytes that are not UTF-8 become U+FFFD.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Invalid | Value::Nil | Value::NilPtr(_) | Value::Scratch(_) => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) | Value::Int64(number) => Json::from(*number),
        Value::Uint(number) => Json::from(*number),
        Value::Float(number) => {
            #[allow(clippy::cast_possible_truncation)]
            if number.fract() == 0.0 && number.abs() < 9.0e15 {
                return Json::from(*number as i64);
            }
            serde_json::Number::from_f64(*number).map_or(Json::Null, Json::Number)
        }
        Value::Complex(_) => Json::Null,
        Value::Str(text) => Json::String(text.to_str().into_owned()),
        Value::List(list) => Json::Array(list.items.iter().map(to_json).collect()),
        Value::Range(from, to) => Json::Array((*from..*to).map(Json::from).collect()),
        Value::Map(map) => Json::Object(
            map.entries
                .iter()
                .map(|(key, entry)| {
                    let key = match key {
                        crate::value::MapKey::Text(text) => text.to_str().into_owned(),
                        crate::value::MapKey::Int(number) => number.to_string(),
                    };
                    (key, to_json(entry))
                })
                .collect(),
        ),
        Value::Ptr(record) | Value::Struct(record) => Json::Object(
            record
                .record
                .fields
                .iter()
                .zip(&record.values)
                .map(|(field, entry)| (field.name.to_owned(), to_json(entry)))
                .collect(),
        ),
    }
}
