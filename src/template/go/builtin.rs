//! Functions that Go's templates have themselves.

use super::print;
use crate::context::{Context, Fault, Outcome};
use crate::value::{MapKey, MapValue, Ty, Value, runes};

pub(crate) fn not(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    Ok(Value::Bool(!values[0].truth()))
}

pub(crate) fn len(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let length = match &values[0] {
        Value::Str(text) => text.len(),
        Value::List(list) => list.items.len(),
        Value::Map(map) => map.entries.len(),
        value if value.is_nothing() => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name()).into()),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn position(value: &Value, length: usize) -> Result<usize, Fault> {
    let number = match value {
        Value::Int(number) | Value::Int64(number) => i128::from(*number),
        Value::Uint(number) => i128::from(*number),
        value if value.is_nothing() => return Err("cannot index slice/array with nil".into()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name()).into()),
    };
    match usize::try_from(number) {
        Ok(at) if at < length => Ok(at),
        _ => Err(format!("index out of range: {number}").into()),
    }
}

fn entry(map: &MapValue, key: &Value) -> Outcome {
    let key = match (&map.ty, key) {
        (Ty::Map(_), Value::Str(text)) => MapKey::Text(text.clone()),
        (Ty::MapInt(_), Value::Int(number) | Value::Int64(number)) => MapKey::Int(*number),
        (_, value) if value.is_nothing() => return Err("value is nil; should be a map key".into()),
        (ty, value) => {
            let wanted = if matches!(ty, Ty::MapInt(_)) { "int" } else { "string" };
            return Err(format!("value has type {}; should be {wanted}", value.type_name()).into());
        }
    };
    Ok(map.entries.get(&key).cloned().unwrap_or_else(|| map.zero()))
}

pub(crate) fn index(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let mut item = values[0].clone();
    if item.is_nothing() {
        return Err("index of untyped nil".into());
    }
    for key in &values[1..] {
        item = match &item {
            Value::List(list) => list.items[position(key, list.items.len())?].clone(),
            Value::Str(text) => Value::Int(i64::from(text[position(key, text.len())?])),
            Value::Map(map) => entry(map, key)?,
            value if value.is_nothing() => return Err("index of nil pointer".into()),
            other => return Err(format!("can't index item of type {}", other.type_name()).into()),
        };
    }
    Ok(item)
}

pub(crate) fn slice(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let (item, bounds) = (&values[0], &values[1..]);
    let length = match item {
        Value::Str(text) => text.len(),
        Value::List(list) => list.items.len(),
        value if value.is_nothing() => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name()).into()),
    };
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()).into());
    }
    if bounds.len() == 3 && matches!(item, Value::Str(_)) {
        return Err("cannot 3-index slice a string".into());
    }
    let mut marks = [0, length, length];
    for (mark, bound) in marks.iter_mut().zip(bounds) {
        *mark = position(bound, length + 1)?;
    }
    if marks[0] > marks[1] {
        return Err(format!("invalid slice index: {} > {}", marks[0], marks[1]).into());
    }
    if marks[1] > marks[2] {
        return Err(format!("invalid slice index: {} > {}", marks[1], marks[2]).into());
    }
    Ok(match item {
        Value::Str(text) => Value::text(&text[marks[0]..marks[1]]),
        Value::List(list) => crate::data::like(list, list.items[marks[0]..marks[1]].to_vec()),
        _ => Value::Nil,
    })
}

pub(crate) fn call(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    match values.first() {
        Some(value) if !value.is_nothing() => {
            Err(format!("non-function of type {}", value.type_name()).into())
        }
        _ => Err("call of nil".into()),
    }
}

pub(crate) fn print(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    Ok(Value::text(print::sprint(values)))
}

pub(crate) fn println(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    Ok(Value::text(print::sprintln(values)))
}

pub(crate) fn printf(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let format = values[0].as_text().cloned().unwrap_or_else(|| "".into());
    context.work(format.len())?;
    Ok(Value::text(print::sprintf(&format, &values[1..])?))
}

/// The escapers take any values and join them as `print` does.
fn joined(values: &[Value]) -> Vec<u8> {
    match values {
        [Value::Str(text)] => text.to_vec(),
        _ => {
            let shown: Vec<Value> = values
                .iter()
                .map(|value| match value {
                    Value::Invalid | Value::Nil => Value::text("<no value>"),
                    Value::Ptr(record) => Value::Struct(record.clone()),
                    other => other.clone(),
                })
                .collect();
            print::sprint(&shown)
        }
    }
}

pub(crate) fn html(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let text = joined(values);
    context.work(text.len())?;
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            other => out.push(other),
        }
    }
    Ok(Value::text(out))
}

pub(crate) fn js(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let text = joined(values);
    context.work(text.len())?;
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for (c, length) in runes(&text) {
        let bytes = &text[at..at + length];
        at += length;
        match c {
            Some('\\') => out.extend_from_slice(b"\\\\"),
            Some('\'') => out.extend_from_slice(b"\\'"),
            Some('"') => out.extend_from_slice(b"\\\""),
            Some(c @ ('<' | '>' | '&' | '=')) => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes());
            }
            Some(c) if c < ' ' => out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes()),
            Some(c) if c.is_ascii() || print::is_print(c) => out.extend_from_slice(bytes),
            Some(c) => out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes()),
            None => out.extend_from_slice(b"\\uFFFD"),
        }
    }
    Ok(Value::text(out))
}

pub(crate) fn urlquery(context: &mut Context<'_>, values: &[Value]) -> Outcome {
    let text = joined(values);
    context.work(text.len())?;
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(Value::text(out))
}
