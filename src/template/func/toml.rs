//! `toTOML`: plain keys first, then tables, indented by their depth, as consul-template's library writes them.

use crate::context::{Context, Fault};
use crate::value::{MapKey, MapValue, Value, runes};

const MAX_DEPTH: usize = 200;

pub(super) fn write(context: &mut Context<'_>, value: &Value) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    if let Value::Map(map) = value {
        table(context, &mut out, &mut Vec::new(), map)?;
    }
    Ok(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Integer,
    Float,
    Text,
    List,
    Table,
    Tables,
}

fn kind(value: &Value, depth: usize) -> Result<Option<Kind>, Fault> {
    Ok(Some(match value {
        Value::Bool(_) => Kind::Bool,
        Value::Int(_) | Value::Int64(_) | Value::Uint(_) => Kind::Integer,
        Value::Float(_) => Kind::Float,
        Value::Str(_) => Kind::Text,
        Value::Map(map) if !map.nil => Kind::Table,
        Value::List(list) => match elements(&list.items, depth)? {
            Some(Kind::Table) => Kind::Tables,
            _ => Kind::List,
        },
        value if value.is_nothing() || matches!(value, Value::NilPtr(_) | Value::Map(_)) => return Ok(None),
        other => return Err(format!("toml: unsupported type: {}", other.type_name()).into()),
    }))
}

/// The one kind of all elements.
fn elements(items: &[Value], depth: usize) -> Result<Option<Kind>, Fault> {
    if depth > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH}").into());
    }
    let mut first = None;
    for item in items {
        let Some(kind) = kind(item, depth + 1)? else {
            return Err("toml: cannot encode array with nil element".into());
        };
        if *first.get_or_insert(kind) != kind {
            return Err("toml: cannot encode array with mixed element types".into());
        }
    }
    if matches!(first, Some(Kind::Tables)) {
        return Err("toml: cannot encode array of nested tables".into());
    }
    Ok(first)
}

fn name(key: &[u8]) -> Vec<u8> {
    let bare = !key.is_empty() && key.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'-');
    if bare {
        return key.to_vec();
    }
    let mut out = Vec::new();
    string(&mut out, key);
    out
}

fn path(keys: &[Vec<u8>]) -> Vec<u8> {
    keys.iter().map(|key| name(key)).collect::<Vec<_>>().join(&b'.')
}

fn indent(out: &mut Vec<u8>, depth: usize) {
    out.resize(out.len() + depth * 2, b' ');
}

fn newline(out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(b'\n');
    }
}

fn table(
    context: &mut Context<'_>,
    out: &mut Vec<u8>,
    keys: &mut Vec<Vec<u8>>,
    map: &MapValue,
) -> Result<(), Fault> {
    if keys.len() > MAX_DEPTH {
        return Err(format!("nested deeper than {MAX_DEPTH}").into());
    }
    let mut later = Vec::new();
    for (key, value) in &map.entries {
        context.step()?;
        context.work(16)?;
        let key = match key {
            MapKey::Text(text) => text.to_vec(),
            MapKey::Int(number) => number.to_string().into_bytes(),
        };
        let Some(kind) = kind(value, 0)? else { continue };
        if key.is_empty() {
            return Err("toml: key is not valid: it is empty".into());
        }
        if matches!(kind, Kind::Table | Kind::Tables) {
            later.push((key, value));
            continue;
        }
        indent(out, keys.len());
        out.extend_from_slice(&name(&key));
        out.extend_from_slice(b" = ");
        element(context, out, value)?;
        out.push(b'\n');
    }
    for (key, value) in later {
        keys.push(key);
        let depth = keys.len() - 1;
        match value {
            Value::Map(map) => {
                if depth == 0 {
                    newline(out);
                }
                indent(out, depth);
                out.extend_from_slice(&[b"[".as_slice(), &path(keys), b"]\n"].concat());
                table(context, out, keys, map)?;
            }
            Value::List(list) => {
                for item in &list.items {
                    newline(out);
                    indent(out, depth);
                    out.extend_from_slice(&[b"[[".as_slice(), &path(keys), b"]]\n"].concat());
                    if let Value::Map(map) = item {
                        table(context, out, keys, map)?;
                    }
                }
            }
            _ => {}
        }
        keys.pop();
    }
    Ok(())
}

fn element(context: &mut Context<'_>, out: &mut Vec<u8>, value: &Value) -> Result<(), Fault> {
    match value {
        Value::Bool(truth) => out.extend_from_slice(truth.to_string().as_bytes()),
        Value::Int(number) | Value::Int64(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Uint(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) if !number.is_finite() => {
            return Err("toml: infinite numbers have no form".into());
        }
        Value::Float(number) => {
            let text = format!("{number}");
            out.extend_from_slice(text.as_bytes());
            if !text.contains('.') {
                out.extend_from_slice(b".0");
            }
        }
        Value::Str(text) => {
            context.work(text.len())?;
            string(out, text);
        }
        Value::List(list) => {
            out.push(b'[');
            for (at, item) in list.items.iter().enumerate() {
                context.step()?;
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                element(context, out, item)?;
            }
            out.push(b']');
        }
        _ => {}
    }
    Ok(())
}

/// Control characters other than these stay as they are.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut at = 0;
    for (c, length) in runes(text) {
        match c {
            Some('\t') => out.extend_from_slice(b"\\t"),
            Some('\n') => out.extend_from_slice(b"\\n"),
            Some('\r') => out.extend_from_slice(b"\\r"),
            Some('"') => out.extend_from_slice(b"\\\""),
            Some('\\') => out.extend_from_slice(b"\\\\"),
            _ => out.extend_from_slice(&text[at..at + length]),
        }
        at += length;
    }
    out.push(b'"');
}
