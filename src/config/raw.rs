//! One source after the table of keys was laid over it, and how two of them merge.

use std::collections::BTreeMap;

use crate::diagnostic::{Diagnostic, Stage};
use crate::placeholder::{Lookup, has_placeholder, resolve};
use crate::schema::{self, Field, Shape, Use};
use crate::source::{Document, Format};
use crate::value::{Kind, Map, Pos, Value};

/// A configuration where everything is optional: what one source says, or several merged.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RawConfig {
    pub(crate) root: RawBlock,
    /// Keys that were given but could not be read; what depends on them is not complained about again.
    pub(crate) poisoned: Vec<String>,
    /// The template watcher's keys.
    pub(crate) templates: Vec<(String, Value)>,
}

/// The keys of a block that were given.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct RawBlock {
    pub(crate) fields: BTreeMap<&'static str, RawField>,
    pub(crate) pos: Option<Pos>,
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    /// `None`: a flag.
    pub(crate) pos: Option<Pos>,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum RawField {
    Bool(At<bool>),
    Int(At<i64>),
    Float(At<f64>),
    Str(At<String>),
    Strs(Vec<At<String>>),
    StrMap(BTreeMap<String, At<String>>),
    StrLists(BTreeMap<String, Vec<String>>),
    Block(RawBlock),
    Blocks(Vec<RawBlock>),
    Any(Value),
    Anys(Vec<Value>),
}

impl RawBlock {
    /// Lays a later block over this one: scalars replace, lists append, maps and blocks merge per key.
    fn merge(&mut self, later: RawBlock) {
        if self.pos.is_none() {
            self.pos = later.pos;
        }
        for (key, new) in later.fields {
            match self.fields.get_mut(key) {
                None => {
                    self.fields.insert(key, new);
                }
                Some(old) => match (old, new) {
                    (RawField::Strs(old), RawField::Strs(new)) => old.extend(new),
                    (RawField::StrMap(old), RawField::StrMap(new)) => old.extend(new),
                    (RawField::StrLists(old), RawField::StrLists(new)) => old.extend(new),
                    (RawField::Block(old), RawField::Block(new)) => old.merge(new),
                    (RawField::Blocks(old), RawField::Blocks(new)) => old.extend(new),
                    (RawField::Anys(old), RawField::Anys(new)) => old.extend(new),
                    (old, new) => *old = new,
                },
            }
        }
    }

    /// A block inside, if it was given.
    pub(crate) fn block(&self, name: &str) -> Option<&RawBlock> {
        match self.fields.get(name) {
            Some(RawField::Block(block)) => Some(block),
            _ => None,
        }
    }

    /// Blocks inside, in order.
    pub(crate) fn blocks(&self, name: &str) -> &[RawBlock] {
        match self.fields.get(name) {
            Some(RawField::Blocks(blocks)) => blocks,
            _ => &[],
        }
    }
}

impl RawConfig {
    /// Lays a later source over this one.
    pub fn merge(&mut self, later: RawConfig) {
        self.root.merge(later.root);
        self.poisoned.extend(later.poisoned);
        self.templates.extend(later.templates);
    }

    /// Sets a key by its path (`ports.http`), as a flag does.
    pub(crate) fn set(&mut self, path: &'static str, field: RawField) {
        let mut block = &mut self.root;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                let mut one = RawBlock::default();
                one.fields.insert(part, field);
                block.merge(one);
                return;
            }
            let inner = block.fields.entry(part).or_insert_with(|| RawField::Block(RawBlock::default()));
            let RawField::Block(inner) = inner else { return };
            block = inner;
        }
    }
}

/// Lays the table over a document. Whatever does not fit is an error and left out.
pub(crate) struct Checker<'a> {
    pub(crate) format: Format,
    pub(crate) lookup: &'a dyn Lookup,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
    raw: RawConfig,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(format: Format, lookup: &'a dyn Lookup) -> Self {
        Checker { format, lookup, errors: Vec::new(), warnings: Vec::new(), raw: RawConfig::default() }
    }

    /// The whole document.
    pub(crate) fn check(mut self, document: &Document) -> (RawConfig, Vec<Diagnostic>, Vec<Diagnostic>) {
        for (key, pos) in &document.repeated {
            self.warn(
                key,
                pos,
                format!("config key {key} stands more than once in this file, the last one counts"),
            );
        }
        if let Kind::Map(map) = &document.root.kind {
            self.raw.root = self.block(schema::ROOT, map, "", &document.root.pos);
        }
        (self.raw, self.errors, self.warnings)
    }

    fn warn(&mut self, key: &str, pos: &Pos, text: String) {
        let pos = Some(pos.clone());
        self.warnings.push(Diagnostic { text, key: key.to_owned(), pos, meant: None, stage: Stage::Shape });
    }

    fn error(&mut self, key: &str, pos: &Pos, text: String) {
        self.raw.poisoned.push(key.to_owned());
        let pos = Some(pos.clone());
        self.errors.push(Diagnostic { text, key: key.to_owned(), pos, meant: None, stage: Stage::Shape });
    }

    fn block(&mut self, fields: &'static [Field], map: &Map, path: &str, pos: &Pos) -> RawBlock {
        let mut block = RawBlock { fields: BTreeMap::new(), pos: Some(pos.clone()) };
        let mut spelled: BTreeMap<&'static str, &str> = BTreeMap::new();
        for entry in map.iter() {
            let here = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let field = schema::find(fields, &entry.key);
            // As in Consul, the exact spelling wins and any other one beside it is unknown.
            let taken = field.is_some_and(|field| {
                let exact = entry.key == field.name;
                !exact && (map.get(field.name).is_some() || spelled.contains_key(field.name))
            });
            let Some(field) = field.filter(|_| !taken) else {
                self.errors.push(Diagnostic {
                    text: format!("invalid config key {here}"),
                    key: here,
                    pos: Some(entry.pos.clone()),
                    meant: schema::meant(fields, &entry.key),
                    stage: Stage::Shape,
                });
                continue;
            };
            spelled.insert(field.name, &entry.key);
            self.note_use(field, &here, &entry.pos);
            if field.used == Use::Template {
                self.template(field, &entry.value);
                continue;
            }
            if let Kind::Null = entry.value.kind {
                continue;
            }
            let here = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            if let Some(value) = self.field(field.shape, &entry.value, &here) {
                block.fields.insert(field.name, value);
            }
        }
        block
    }

    fn note_use(&mut self, field: &'static Field, key: &str, pos: &Pos) {
        let text = match field.used {
            Use::Acted | Use::Template => return,
            Use::Later => format!("config key {key} is known but not acted on"),
            Use::Enterprise => {
                format!("{key:?} is a Consul Enterprise configuration and will have no effect")
            }
            Use::Deprecated(new) => {
                format!("The '{key}' field is deprecated. Use the '{new}' field instead.")
            }
            Use::Gone => format!("config key {key:?} is deprecated and should be removed"),
        };
        self.warn(key, pos, text);
    }

    fn template(&mut self, field: &'static Field, value: &Value) {
        match &value.kind {
            Kind::List(items) if field.name == "template" => {
                let items = items.iter().map(|item| (field.name.to_owned(), item.clone()));
                self.raw.templates.extend(items);
            }
            _ => self.raw.templates.push((field.name.to_owned(), value.clone())),
        }
    }

    /// The name Go gives to a value of this shape, as far as it depends on the format.
    fn go_type(&self, kind: &Kind) -> &'static str {
        match kind {
            Kind::Null => "nil",
            Kind::Bool(_) => "bool",
            Kind::Int(_) if self.format == Format::Json => "float64",
            Kind::Int(_) => "int",
            Kind::Float(_) => "float64",
            Kind::String(_) => "string",
            Kind::List(_) => "slice",
            Kind::Map(_) => "map",
        }
    }

    fn mismatch<T>(&mut self, key: &str, value: &Value, wanted: &str) -> Option<T> {
        let found = match &value.kind {
            Kind::List(_) => "[]interface {}",
            Kind::Map(_) => "map[string]interface {}",
            kind => self.go_type(kind),
        };
        self.error(
            key,
            &value.pos,
            format!("'{key}' expected type '{wanted}', got unconvertible type '{found}'"),
        );
        None
    }

    /// A text with its placeholders replaced, and whether it had some.
    fn text(&mut self, key: &str, text: &str, pos: &Pos) -> Option<(String, bool)> {
        if !has_placeholder(text) {
            return Some((text.to_owned(), false));
        }
        match resolve(text, self.lookup) {
            Ok(text) => Some((text, true)),
            Err(error) => {
                self.error(key, pos, format!("{key}: {error}"));
                None
            }
        }
    }

    fn field(&mut self, shape: Shape, value: &Value, key: &str) -> Option<RawField> {
        let pos = Some(value.pos.clone());
        Some(match shape {
            Shape::Bool => RawField::Bool(At { value: self.bool(value, key)?, pos }),
            Shape::Int => RawField::Int(At { value: self.int(value, key, "int")?, pos }),
            Shape::Uint => {
                let number = self.int(value, key, "uint")?;
                if number < 0 {
                    let text = format!("cannot parse '{key}', {number}.000000 overflows uint");
                    self.error(key, &value.pos, text);
                    return None;
                }
                RawField::Int(At { value: number, pos })
            }
            Shape::Float => RawField::Float(At { value: self.float(value, key)?, pos }),
            Shape::Str | Shape::Duration => RawField::Str(At { value: self.string(value, key)?, pos }),
            Shape::Strs => {
                let items = self.list(value, key)?;
                let items = items.iter().enumerate().filter_map(|(n, item)| {
                    let text = self.string(item, &format!("{key}[{n}]"))?;
                    Some(At { value: text, pos: Some(item.pos.clone()) })
                });
                RawField::Strs(items.collect())
            }
            Shape::StrMap => {
                let map = self.map(value, key)?;
                let items = map.iter().filter_map(|entry| {
                    let text = self.string(&entry.value, &format!("{key}[{}]", entry.key))?;
                    Some((entry.key.clone(), At { value: text, pos: Some(entry.pos.clone()) }))
                });
                RawField::StrMap(items.collect())
            }
            Shape::StrLists => {
                let map = self.map(value, key)?;
                let mut lists = BTreeMap::new();
                for entry in map.iter() {
                    let key = format!("{key}[{}]", entry.key);
                    let Some(items) = self.list(&entry.value, &key) else { continue };
                    let items = items
                        .iter()
                        .enumerate()
                        .filter_map(|(n, item)| self.string(item, &format!("{key}[{n}]")))
                        .collect();
                    lists.insert(entry.key.clone(), items);
                }
                RawField::StrLists(lists)
            }
            Shape::Block(fields) => {
                let map = self.map(value, key)?;
                RawField::Block(self.block(fields, map, key, &value.pos))
            }
            Shape::Single(fields) => {
                let map = self.map(value, key)?;
                RawField::Blocks(vec![self.block(fields, map, key, &value.pos)])
            }
            Shape::Blocks(fields) => {
                let items = self.list(value, key)?;
                let blocks = items.iter().enumerate().filter_map(|(n, item)| {
                    // Consul names unknown keys inside without the number, wrong types with it.
                    let Some(map) = item.as_map() else {
                        let text = format!("'{key}[{n}]' expected a map, got '{}'", self.go_type(&item.kind));
                        self.error(key, &item.pos, text);
                        return None;
                    };
                    Some(self.block(fields, map, key, &item.pos))
                });
                RawField::Blocks(blocks.collect())
            }
            Shape::Any => RawField::Any(self.resolved(value, key)?),
            Shape::Anys => {
                let items = self.list(value, key)?;
                let mut kept = Vec::new();
                for (n, item) in items.iter().enumerate() {
                    let Some(map) = item.as_map() else {
                        let text = format!("'{key}[{n}]' expected a map, got '{}'", self.go_type(&item.kind));
                        self.error(key, &item.pos, text);
                        continue;
                    };
                    let item = Value { kind: Kind::Map(map.clone()), pos: item.pos.clone() };
                    kept.extend(self.resolved(&item, key));
                }
                RawField::Anys(kept)
            }
        })
    }

    /// A tree kept unread, its placeholders replaced and HCL1's lists of one map made maps again.
    fn resolved(&mut self, value: &Value, key: &str) -> Option<Value> {
        let kind = match &value.kind {
            Kind::String(text) => Kind::String(self.text(key, text, &value.pos)?.0),
            Kind::List(items) => match items.as_slice() {
                [one] if matches!(one.kind, Kind::Map(_)) && self.format == Format::Hcl => {
                    return self.resolved(one, key);
                }
                items => Kind::List(items.iter().filter_map(|item| self.resolved(item, key)).collect()),
            },
            Kind::Map(map) => {
                let entries = map.iter().filter_map(|entry| {
                    let value = self.resolved(&entry.value, &format!("{key}.{}", entry.key))?;
                    Some(crate::Entry { value, ..entry.clone() })
                });
                Kind::Map(Map(entries.collect()))
            }
            kind => kind.clone(),
        };
        Some(Value { kind, pos: value.pos.clone() })
    }

    fn bool(&mut self, value: &Value, key: &str) -> Option<bool> {
        match &value.kind {
            Kind::Bool(flag) => Some(*flag),
            Kind::String(text) if has_placeholder(text) => {
                let (text, _) = self.text(key, text, &value.pos)?;
                match text.as_str() {
                    "true" => Some(true),
                    "false" => Some(false),
                    _ => self.mismatch(key, value, "bool"),
                }
            }
            _ => self.mismatch(key, value, "bool"),
        }
    }

    fn int(&mut self, value: &Value, key: &str, wanted: &str) -> Option<i64> {
        match &value.kind {
            Kind::Int(number) => Some(*number),
            Kind::Float(number) if number.fract() == 0.0 && number.abs() < 9.0e15 => Some(*number as i64),
            Kind::Float(number) => {
                self.error(
                    key,
                    &value.pos,
                    format!("'{key}' expected type '{wanted}', got the number {number}"),
                );
                None
            }
            Kind::String(text) if has_placeholder(text) => {
                let (text, _) = self.text(key, text, &value.pos)?;
                match text.trim().parse() {
                    Ok(number) => Some(number),
                    Err(_) => self.mismatch(key, value, wanted),
                }
            }
            _ => self.mismatch(key, value, wanted),
        }
    }

    fn float(&mut self, value: &Value, key: &str) -> Option<f64> {
        match &value.kind {
            Kind::Int(number) => Some(*number as f64),
            Kind::Float(number) => Some(*number),
            _ => self.mismatch(key, value, "float64"),
        }
    }

    fn string(&mut self, value: &Value, key: &str) -> Option<String> {
        match &value.kind {
            Kind::String(text) => self.text(key, text, &value.pos).map(|(text, _)| text),
            _ => self.mismatch(key, value, "string"),
        }
    }

    fn list<'v>(&mut self, value: &'v Value, key: &str) -> Option<&'v [Value]> {
        match &value.kind {
            Kind::List(items) => Some(items),
            Kind::Null => Some(&[]),
            kind => {
                let text =
                    format!("'{key}': source data must be an array or slice, got {}", self.go_type(kind));
                self.error(key, &value.pos, text);
                None
            }
        }
    }

    fn map<'v>(&mut self, value: &'v Value, key: &str) -> Option<&'v Map> {
        if let Some(map) = value.as_map() {
            return Some(map);
        }
        let found = self.go_type(&value.kind);
        let several = matches!(&value.kind, Kind::List(items) if items.len() > 1);
        let hint = if several { "; the block stands more than once in this file" } else { "" };
        self.error(key, &value.pos, format!("'{key}' expected a map, got '{found}'{hint}"));
        None
    }
}
