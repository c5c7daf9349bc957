//! What templates compute with: Go's kinds of value, as far as a template can tell them apart.
//!
//! Strings are bytes, as in Go: a key may hold anything, and what was put in must come out. Lists, maps and records
//! are shared, so that a hundred templates hold one copy of a service's instances.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::scratch::Scratch;

/// A Go string: bytes, usually UTF-8.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<[u8]>);

impl Text {
    /// The bytes as UTF-8, every byte that is none becoming U+FFFD as in Go.
    pub fn to_str(&self) -> Cow<'_, str> {
        lossy(&self.0)
    }
}

impl Deref for Text {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Text(text.as_bytes().into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Text(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Text(bytes.into())
    }
}

impl From<&[u8]> for Text {
    fn from(bytes: &[u8]) -> Self {
        Text(bytes.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_str())
    }
}

/// UTF-8 out of any bytes; each wrong byte is one U+FFFD (Rust's own conversion makes one of several).
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(runes(bytes).map(|(c, _)| c.unwrap_or('\u{fffd}')).collect()),
    }
}

/// Walks bytes as Go does: a character and its length, or `None` and 1 for a byte that is not UTF-8.
pub(crate) fn runes(bytes: &[u8]) -> impl Iterator<Item = (Option<char>, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let step = decode_rune(rest);
        at += step.1;
        Some(step)
    })
}

fn decode_rune(rest: &[u8]) -> (Option<char>, usize) {
    let head = &rest[..rest.len().min(4)];
    let valid = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or(""),
    };
    match valid.chars().next() {
        Some(c) => (Some(c), c.len_utf8()),
        None => (None, 1),
    }
}

/// The type of a value, list element, map element or record field, in Go's terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ty {
    /// `interface {}`
    Any,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `uint64`
    Uint,
    /// `float64`
    Float,
    /// `complex128`
    Complex,
    /// `string`
    Str,
    /// A pointer to a record.
    Ptr(&'static Record),
    /// A record by value.
    Struct(&'static Record),
    /// A list.
    List(&'static Ty),
    /// A list that is a type of its own (`dependency.ServiceTags`).
    Named(&'static str, &'static Ty),
    /// A map by text.
    Map(&'static Ty),
    /// A map by number.
    MapInt(&'static Ty),
    /// The template's notebook.
    Scratch,
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ty::Any => f.write_str("interface {}"),
            Ty::Bool => f.write_str("bool"),
            Ty::Int => f.write_str("int"),
            Ty::Int64 => f.write_str("int64"),
            Ty::Uint => f.write_str("uint64"),
            Ty::Float => f.write_str("float64"),
            Ty::Complex => f.write_str("complex128"),
            Ty::Str => f.write_str("string"),
            Ty::Ptr(record) => write!(f, "*{}", record.name),
            Ty::Struct(record) => f.write_str(record.name),
            Ty::List(elem) => write!(f, "[]{elem}"),
            Ty::Named(name, _) => f.write_str(name),
            Ty::Map(elem) => write!(f, "map[string]{elem}"),
            Ty::MapInt(elem) => write!(f, "map[int]{elem}"),
            Ty::Scratch => f.write_str("*template.Scratch"),
        }
    }
}

/// The shape of a record: Go's name and its fields in order.
#[derive(Debug)]
pub struct Record {
    /// As Go prints it.
    pub name: &'static str,
    /// In Go's order, which is also that of JSON.
    pub fields: &'static [Field],
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.name == other.name
    }
}

impl Eq for Record {}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// As templates and JSON spell it.
    pub name: &'static str,
    /// Its type.
    pub ty: Ty,
    /// Came after consul-template 0.20: can be asked for, is not printed with the whole record, so that files which
    /// print records keep their bytes.
    pub later: bool,
}

impl Field {
    /// A field that was always there.
    pub const fn new(name: &'static str, ty: Ty) -> Field {
        Field { name, ty, later: false }
    }

    /// A field of later releases.
    pub const fn later(name: &'static str, ty: Ty) -> Field {
        Field { name, ty, later: true }
    }
}

/// A record's fields, in the order of its shape.
#[derive(Debug)]
pub struct RecordValue {
    /// The shape.
    pub record: &'static Record,
    /// One value per field.
    pub values: Vec<Value>,
}

impl RecordValue {
    /// The field of that name.
    pub fn field(&self, name: &[u8]) -> Option<&Value> {
        let at = self.record.fields.iter().position(|field| field.name.as_bytes() == name)?;
        self.values.get(at)
    }

    /// Fields that count when the record is printed as a whole.
    pub fn printed(&self) -> impl Iterator<Item = (&'static Field, &Value)> {
        self.record.fields.iter().zip(&self.values).filter(|(field, _)| !field.later)
    }
}

/// A list and what its elements are.
#[derive(Debug)]
pub struct ListValue {
    /// The list's type: `Ty::List` or `Ty::Named`.
    pub ty: Ty,
    /// The elements.
    pub items: Vec<Value>,
    /// Go's nil list, `null` in JSON.
    pub nil: bool,
}

/// A key of a map.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MapKey {
    /// By number.
    Int(i64),
    /// By text.
    Text(Text),
}

impl MapKey {
    /// The key as templates see it.
    pub fn value(&self) -> Value {
        match self {
            MapKey::Int(number) => Value::Int(*number),
            MapKey::Text(text) => Value::Str(text.clone()),
        }
    }
}

/// A map; always walked in the order of its keys.
#[derive(Debug)]
pub struct MapValue {
    /// The map's type: `Ty::Map` or `Ty::MapInt`.
    pub ty: Ty,
    /// The entries.
    pub entries: BTreeMap<MapKey, Value>,
    /// Go's nil map, `null` in JSON.
    pub nil: bool,
}

impl MapValue {
    /// The entry of that text.
    pub fn get(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(&MapKey::Text(key.into()))
    }

    /// What a missing entry reads as.
    pub fn zero(&self) -> Value {
        match self.ty {
            Ty::Map(elem) | Ty::MapInt(elem) => Value::zero(*elem),
            _ => Value::Nil,
        }
    }
}

/// A value of a template.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// No value at all (a field of nothing).
    Invalid,
    /// An interface that holds nothing (`null`).
    #[default]
    Nil,
    /// A pointer to no record.
    NilPtr(&'static Record),
    /// `bool`
    Bool(bool),
    /// `int`: literals, ports, lengths.
    Int(i64),
    /// `int64`: what the parsing and reckoning functions give.
    Int64(i64),
    /// `uint64`
    Uint(u64),
    /// `float64`
    Float(f64),
    /// `complex128`: a literal like `3i`.
    Complex(Arc<(f64, f64)>),
    /// `string`
    Str(Text),
    /// A list.
    List(Arc<ListValue>),
    /// A map.
    Map(Arc<MapValue>),
    /// A pointer to a record.
    Ptr(Arc<RecordValue>),
    /// A record by value.
    Struct(Arc<RecordValue>),
    /// The numbers from, to (excluded); what `loop` gives, never stored.
    Range(i64, i64),
    /// The template's notebook.
    Scratch(Scratch),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<Text>) -> Value {
        Value::Str(text.into())
    }

    /// A list of that element type.
    pub fn list(elem: &'static Ty, items: Vec<Value>) -> Value {
        Value::List(Arc::new(ListValue { ty: Ty::List(elem), items, nil: false }))
    }

    /// `[]interface {}`
    pub fn any_list(items: Vec<Value>) -> Value {
        Value::list(&Ty::Any, items)
    }

    /// `[]string`
    pub fn str_list<T: Into<Text>>(items: impl IntoIterator<Item = T>) -> Value {
        Value::list(&Ty::Str, items.into_iter().map(Value::text).collect())
    }

    /// A map by text.
    pub fn map(elem: &'static Ty, entries: impl IntoIterator<Item = (Text, Value)>) -> Value {
        let entries = entries.into_iter().map(|(key, value)| (MapKey::Text(key), value)).collect();
        Value::Map(Arc::new(MapValue { ty: Ty::Map(elem), entries, nil: false }))
    }

    /// `map[string]interface {}`
    pub fn any_map(entries: impl IntoIterator<Item = (Text, Value)>) -> Value {
        Value::map(&Ty::Any, entries)
    }

    /// The zero of a type.
    pub fn zero(ty: Ty) -> Value {
        match ty {
            Ty::Any => Value::Nil,
            Ty::Bool => Value::Bool(false),
            Ty::Int => Value::Int(0),
            Ty::Int64 => Value::Int64(0),
            Ty::Uint => Value::Uint(0),
            Ty::Float => Value::Float(0.0),
            Ty::Complex => Value::Complex(Arc::new((0.0, 0.0))),
            Ty::Str => Value::text(""),
            Ty::Ptr(record) => Value::NilPtr(record),
            Ty::Struct(record) => {
                let values = record.fields.iter().map(|field| Value::zero(field.ty)).collect();
                Value::Struct(Arc::new(RecordValue { record, values }))
            }
            Ty::List(_) | Ty::Named(..) => {
                Value::List(Arc::new(ListValue { ty, items: Vec::new(), nil: true }))
            }
            Ty::Map(_) | Ty::MapInt(_) => {
                Value::Map(Arc::new(MapValue { ty, entries: BTreeMap::new(), nil: true }))
            }
            Ty::Scratch => Value::Nil,
        }
    }

    /// The type; `None` for no value.
    pub fn ty(&self) -> Option<Ty> {
        Some(match self {
            Value::Invalid => return None,
            Value::Nil => Ty::Any,
            Value::NilPtr(record) => Ty::Ptr(record),
            Value::Bool(_) => Ty::Bool,
            Value::Int(_) => Ty::Int,
            Value::Int64(_) => Ty::Int64,
            Value::Uint(_) => Ty::Uint,
            Value::Float(_) => Ty::Float,
            Value::Complex(_) => Ty::Complex,
            Value::Str(_) => Ty::Str,
            Value::List(list) => list.ty,
            Value::Map(map) => map.ty,
            Value::Ptr(record) => Ty::Ptr(record.record),
            Value::Struct(record) => Ty::Struct(record.record),
            Value::Range(..) => Ty::List(&Ty::Int64),
            Value::Scratch(_) => Ty::Scratch,
        })
    }

    /// The type's name as Go prints it.
    pub fn type_name(&self) -> String {
        self.ty().map_or_else(|| "<nil>".to_owned(), |ty| ty.to_string())
    }

    /// What `if` asks.
    pub fn truth(&self) -> bool {
        match self {
            Value::Invalid | Value::Nil | Value::NilPtr(_) => false,
            Value::Bool(truth) => *truth,
            Value::Int(number) | Value::Int64(number) => *number != 0,
            Value::Uint(number) => *number != 0,
            Value::Float(number) => *number != 0.0,
            Value::Complex(number) => number.0 != 0.0 || number.1 != 0.0,
            Value::Str(text) => !text.is_empty(),
            Value::List(list) => !list.items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Range(..) | Value::Ptr(_) | Value::Struct(_) | Value::Scratch(_) => true,
        }
    }

    /// Nothing: no value, or an interface without one.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Value::Invalid | Value::Nil)
    }

    /// A whole number of either width.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(number) | Value::Int64(number) => Some(*number),
            _ => None,
        }
    }

    /// A text.
    pub fn as_text(&self) -> Option<&Text> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// A list's elements.
    pub fn as_items(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(&list.items),
            _ => None,
        }
    }

    /// A field of a record or an entry of a map by text.
    pub fn get(&self, name: &[u8]) -> Option<&Value> {
        match self {
            Value::Ptr(record) | Value::Struct(record) => record.field(name),
            Value::Map(map) => map.get(name),
            _ => None,
        }
    }
}
