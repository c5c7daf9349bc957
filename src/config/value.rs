//! What both readers produce: values that know where they were written.

use std::fmt;
use std::sync::Arc;

/// A place in a source. Lines and columns count from 1; line 0 means the source as a whole.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pos {
    /// The name the source was given under.
    pub file: Arc<str>,
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl Pos {
    /// The source as a whole.
    pub fn whole(file: &str) -> Pos {
        Pos { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            f.write_str(&self.file)
        } else {
            write!(f, "{}:{}:{}", self.file, self.line, self.column)
        }
    }
}

impl fmt::Debug for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value and where it begins.
#[derive(Clone, PartialEq, Debug)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub pos: Pos,
}

/// The shapes of a value.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// JSON's null.
    Null,
    /// `true`, `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// A list. HCL1 makes one of every block and every object that is an attribute.
    List(Vec<Value>),
    /// Keys and values in the order written; a key stands once.
    Map(Map),
}

/// Keys and values in the order written.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Map(pub Vec<Entry>);

/// A key, where it stands, and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub pos: Pos,
    /// Its value.
    pub value: Value,
}

impl Map {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Keys and values in the order written.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }
}

impl Value {
    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self.kind {
            Kind::Int(number) => Some(number),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self.kind {
            Kind::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The map; a list of exactly one map counts as that map (HCL1 writes a block so).
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            Kind::List(items) => match items.as_slice() {
                [one] => one.as_map(),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value without positions.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(flag) => (*flag).into(),
            Kind::Int(number) => (*number).into(),
            Kind::Float(number) => (*number).into(),
            Kind::String(text) => text.as_str().into(),
            Kind::List(items) => items.iter().map(Value::to_json).collect(),
            Kind::Map(map) => map.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect(),
        }
    }
}
