//! Functions on lists and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Func, Param, bad, func, str_at, variadic};
use crate::context::{Context, Fault, Outcome};
use crate::data::{HEALTH_SERVICE_PTR, KEY_PAIR, KEY_PAIR_PTR, groups};
use crate::value::{MapKey, MapValue, RecordValue, Text, Ty, Value};
use Param::{Any, Instances, Int, Map, Pairs, Str};

pub(super) static FUNCS: &[Func] = &[
    func("byKey", &[Pairs], by_key),
    func("byTag", &[Any], by_tag),
    func("byMeta", &[Str, Instances], by_meta),
    func("byPort", &[Instances], by_port),
    func("containsAll", &[Any, Any], |context, values| contains_some(context, "containsAll", values)),
    func("containsAny", &[Any, Any], |context, values| contains_some(context, "containsAny", values)),
    func("containsNone", &[Any, Any], |context, values| contains_some(context, "containsNone", values)),
    func("containsNotAll", &[Any, Any], |context, values| contains_some(context, "containsNotAll", values)),
    func("explode", &[Pairs], explode),
    func("explodeMap", &[Map], explode_map),
    func("mergeMap", &[Map, Map], |context, values| merge_maps(context, values, false)),
    func("mergeMapWithOverride", &[Map, Map], |context, values| merge_maps(context, values, true)),
    func("splitToMap", &[Str, Str, Str], split_to_map),
    variadic("loop", &[], Int, loop_),
];

/// Is the needle in the list, or in the text? Numbers match only their own kind.
pub(super) fn is_in(context: &mut Context<'_>, hay: &Value, needle: &Value) -> Outcome {
    let nothing = || Fault::from("reflect: call of reflect.Value.Type on zero Value");
    let found = match hay {
        Value::Str(text) => match needle {
            Value::Str(part) => super::text::find(text, part).is_some(),
            needle if needle.is_nothing() => return Err(nothing()),
            _ => false,
        },
        Value::List(list) => {
            let mut found = false;
            for item in &list.items {
                context.step()?;
                let hit = match (item, needle) {
                    (Value::Str(a), Value::Str(b)) => a == b,
                    (Value::Str(_), needle) if needle.is_nothing() => return Err(nothing()),
                    (Value::Float(a), Value::Float(b)) => a == b,
                    (Value::Uint(a), Value::Uint(b)) => a == b,
                    (a, b) => a.as_int().is_some() && a.as_int() == b.as_int(),
                };
                if hit {
                    found = true;
                    break;
                }
            }
            found
        }
        _ => false,
    };
    Ok(Value::Bool(found))
}

fn contains_some(context: &mut Context<'_>, name: &str, values: &[Value]) -> Outcome {
    let Some(wanted) = values[0].as_items() else {
        let found = values[0].type_name();
        return bad(name, format!("wrong type for value; expected []interface {{}}; got {found}"));
    };
    let mut hits = 0;
    for item in wanted {
        if is_in(context, &values[1], item)?.truth() {
            hits += 1;
        }
    }
    Ok(Value::Bool(match name {
        "containsAll" => hits == wanted.len(),
        "containsAny" => hits > 0,
        "containsNone" => hits == 0,
        _ => hits < wanted.len(),
    }))
}

pub(super) fn tags_contain(tags: &Value, values: &[Value]) -> Outcome {
    let wanted = str_at(values, 0);
    let items = tags.as_items().unwrap_or(&[]);
    Ok(Value::Bool(items.iter().any(|tag| tag.as_text() == Some(&wanted))))
}

fn field_text(value: &Value, name: &str) -> Text {
    value.get(name.as_bytes()).and_then(Value::as_text).cloned().unwrap_or_else(|| Text::from(""))
}

/// The same pair under another key.
fn renamed(pair: &Value, key: &[u8]) -> Value {
    match pair {
        Value::Ptr(record) if record.record == &KEY_PAIR => {
            let mut values = record.values.clone();
            values[1] = Value::text(key);
            Value::Ptr(Arc::new(RecordValue { record: record.record, values }))
        }
        Value::Map(map) => {
            let mut entries = map.entries.clone();
            entries.insert(MapKey::Text(Text::from("Key")), Value::text(key));
            Value::Map(Arc::new(MapValue { ty: map.ty, entries, nil: false }))
        }
        other => other.clone(),
    }
}

fn by_key(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let mut tops: BTreeMap<Text, BTreeMap<MapKey, Value>> = BTreeMap::new();
    for pair in values[0].as_items().unwrap_or(&[]) {
        let key = field_text(pair, "Key");
        let Some(at) = key.iter().position(|byte| *byte == b'/') else { continue };
        let (top, rest) = (Text::from(&key[..at]), &key[at + 1..]);
        tops.entry(top).or_default().insert(MapKey::Text(rest.into()), renamed(pair, rest));
    }
    static INNER: Ty = Ty::Map(&KEY_PAIR_PTR);
    Ok(Value::map(
        &INNER,
        tops.into_iter()
            .map(|(top, entries)| (top, Value::Map(Arc::new(MapValue { ty: INNER, entries, nil: false })))),
    ))
}

fn by_tag(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let tagged = |item: &Value| item.get(b"Tags").is_some();
    let items = match &values[0] {
        Value::List(list) if list.items.iter().all(tagged) => {
            let untagged = matches!(list.ty, Ty::List(Ty::Ptr(record)) if *record == &KEY_PAIR);
            if untagged {
                return bad("byTag", format!("wrong argument type {}", values[0].type_name()));
            }
            &list.items
        }
        other => return bad("byTag", format!("wrong argument type {}", other.type_name())),
    };
    let mut found: BTreeMap<MapKey, Vec<Value>> = BTreeMap::new();
    for item in items {
        for tag in item.get(b"Tags").and_then(Value::as_items).unwrap_or(&[]) {
            if let Value::Str(tag) = tag {
                found.entry(MapKey::Text(tag.clone())).or_default().push(item.clone());
            }
        }
    }
    Ok(groups(&Ty::Any, found))
}

/// Anything but letters, digits, underscore and minus becomes an underscore.
fn normalised(text: &[u8]) -> Vec<u8> {
    crate::value::runes(text)
        .map(|(c, _)| match c {
            Some(c) if c.is_ascii_alphanumeric() || c == '_' || c == '-' => u8::try_from(c).unwrap_or(b'_'),
            _ => b'_',
        })
        .collect()
}

fn by_meta(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let wanted = str_at(values, 0);
    let mut found: BTreeMap<MapKey, Vec<Value>> = BTreeMap::new();
    for item in values[1].as_items().unwrap_or(&[]) {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for name in super::text::pieces(&wanted, b",") {
            let (name, number) = match name.strip_suffix(b"|int") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let meta = item.get(b"ServiceMeta").and_then(|meta| meta.get(name)).and_then(Value::as_text);
            let value = match meta.filter(|text| !text.is_empty()) {
                Some(text) => text.to_vec(),
                None if number => b"0".to_vec(),
                None => [b"_no_", name, b"_"].concat(),
            };
            let value = if number {
                let text = super::text::owned(&value);
                match text.parse::<i64>() {
                    Ok(number) => format!("{number:05}").into_bytes(),
                    Err(_) => return bad("byMeta", format!("cannot parse {text} as number")),
                }
            } else {
                value
            };
            parts.push(normalised(&value));
        }
        found.entry(MapKey::Text(parts.join(&b'_').into())).or_default().push(item.clone());
    }
    Ok(groups(&HEALTH_SERVICE_PTR, found))
}

fn by_port(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let mut found: BTreeMap<MapKey, Vec<Value>> = BTreeMap::new();
    for item in values[0].as_items().unwrap_or(&[]) {
        let port = item.get(b"Port").and_then(Value::as_int).unwrap_or(0);
        found.entry(MapKey::Int(port)).or_default().push(item.clone());
    }
    Ok(groups(&HEALTH_SERVICE_PTR, found))
}

/// A tree under construction.
enum Nest {
    Leaf(Value),
    Branch(BTreeMap<Text, Nest>),
}

impl Nest {
    fn value(self) -> Value {
        match self {
            Nest::Leaf(value) => value,
            Nest::Branch(entries) => {
                Value::any_map(entries.into_iter().map(|(key, entry)| (key, entry.value())))
            }
        }
    }
}

/// Levels of a path; more would only serve to overflow a stack.
const MAX_LEVELS: usize = 200;

fn plant(root: &mut BTreeMap<Text, Nest>, key: &[u8], value: Value) -> Result<(), String> {
    let parts = super::text::pieces(key, b"/");
    let Some((leaf, branches)) = parts.split_last() else { return Ok(()) };
    if parts.len() > MAX_LEVELS {
        return Err(format!("a key of more than {MAX_LEVELS} levels"));
    }
    let mut at = root;
    for (depth, part) in branches.iter().enumerate() {
        match at.entry(Text::from(*part)).or_insert_with(|| Nest::Branch(BTreeMap::new())) {
            Nest::Branch(below) => at = below,
            Nest::Leaf(there) => {
                let rest = super::text::owned(&parts[depth..].join(&b'/'));
                let shown = super::text::owned(&crate::go::sprint(std::slice::from_ref(there)));
                let part = super::text::owned(part);
                return Err(format!("not a map: {rest:?}: {part:?} already has value {shown:?}"));
            }
        }
    }
    if !leaf.is_empty() {
        at.insert(Text::from(*leaf), Nest::Leaf(value));
    }
    Ok(())
}

fn explode(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let mut root = BTreeMap::new();
    for pair in values[0].as_items().unwrap_or(&[]) {
        let value = Value::Str(field_text(pair, "Value"));
        plant(&mut root, &field_text(pair, "Key"), value).or_else(|text| bad("explode", text))?;
    }
    Ok(Nest::Branch(root).value())
}

fn explode_map(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let mut root = BTreeMap::new();
    if let Value::Map(map) = &values[0] {
        for (key, value) in &map.entries {
            let MapKey::Text(key) = key else { continue };
            plant(&mut root, key, value.clone()).or_else(|text| bad("explodeMap", text))?;
        }
    }
    Ok(Nest::Branch(root).value())
}

fn merge_maps(context: &mut Context<'_>, values: &[Value], over: bool) -> Outcome {
    merge(context, &values[0], &values[1], over, 0)
}

/// Fills the first map from the second; with `over`, the second wins where both have something.
fn merge(context: &mut Context<'_>, base: &Value, other: &Value, over: bool, depth: usize) -> Outcome {
    let (Value::Map(left), Value::Map(right)) = (base, other) else { return Ok(base.clone()) };
    if depth > MAX_LEVELS {
        return bad("mergeMap", format!("nested deeper than {MAX_LEVELS}"));
    }
    let mut entries = left.entries.clone();
    for (key, value) in &right.entries {
        context.step()?;
        let merged = match entries.get(key) {
            Some(there @ Value::Map(_)) if matches!(value, Value::Map(_)) => {
                merge(context, there, value, over, depth + 1)?
            }
            // what is empty counts as not there
            Some(there) if there.truth() && !(over && value.truth()) => continue,
            _ => value.clone(),
        };
        entries.insert(key.clone(), merged);
    }
    Ok(Value::Map(Arc::new(MapValue { ty: left.ty, entries, nil: false })))
}

fn split_to_map(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let (items, pairs, text) = (str_at(values, 0), str_at(values, 1), str_at(values, 2));
    let text = super::text::trim_space(&text);
    let mut entries: Vec<(Text, Value)> = Vec::new();
    if text.is_empty() {
        return Ok(Value::any_map(entries));
    }
    for item in super::text::pieces(text, &items) {
        match super::text::find(item, &pairs).filter(|_| !pairs.is_empty()) {
            Some(at) => entries.push((item[..at].into(), Value::text(&item[at + pairs.len()..]))),
            None => {
                let shown = super::text::owned(item);
                return bad("splitToMap", format!("no {:?} in {shown:?}", pairs.to_str()));
            }
        }
    }
    Ok(Value::any_map(entries))
}

fn loop_(_: &mut Context<'_>, values: &[Value]) -> Outcome {
    let number = |value: &Value| match value {
        Value::Uint(number) => i64::try_from(*number).unwrap_or(i64::MAX),
        value => value.as_int().unwrap_or(0),
    };
    match values {
        [to] => Ok(Value::Range(0, number(to))),
        [from, to] => Ok(Value::Range(number(from), number(to))),
        _ => bad("loop", format!("wrong number of arguments, expected 1 or 2, but got {}", values.len())),
    }
}
