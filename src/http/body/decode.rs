//! From JSON to fields as Go's decoder does it: names without regard to case, unknown ones refused, the first mistake
//! reported after all is read, in Go's words.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use base64::{DecodeError, Engine as _};
use bytes::Bytes;
use crs_types::{Index, parse_duration};

use super::syntax::Json;

/// Reads values and keeps the first mistake.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    error: Option<String>,
    /// The innermost struct, as errors call it; `None` outside of any.
    in_struct: Option<&'static str>,
    path: Vec<&'static str>,
    /// Within a type that decodes itself; its errors carry the place of the whole.
    opaque: bool,
}

/// What to do with a name that is no field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    Refuse,
    Ignore,
}

impl Decoder {
    /// The first mistake, if there was one.
    pub(super) fn finish(self) -> Result<(), String> {
        self.error.map_or(Ok(()), Err)
    }

    /// Records a mistake.
    pub(super) fn fail(&mut self, text: String) {
        self.error.get_or_insert(text);
    }

    /// Records that a value is not of a type.
    pub(super) fn mismatch(&mut self, value: &str, go_type: &str) {
        let place = match self.in_struct {
            Some(name) => format!("Go struct field {name}.{} of type {go_type}", self.path.join(".")),
            None => format!("Go value of type {go_type}"),
        };
        self.fail(format!("json: cannot unmarshal {value} into {place}"));
    }

    /// Reads the fields of a struct. `name` is how errors call it, `go_type` what it is called where something else
    /// stands in its place. `each` gets the field's own name.
    pub(super) fn fields<'j>(
        &mut self,
        json: &'j Json,
        (name, go_type): (&'static str, &'static str),
        names: &[&'static str],
        unknown: Unknown,
        mut each: impl FnMut(&mut Self, &'static str, &'j Json),
    ) {
        let entries = match json {
            Json::Null => return,
            Json::Object(entries) => entries,
            other => return self.mismatch(other.kind(), go_type),
        };
        let outer = self.in_struct;
        for (key, value) in entries {
            let exact = names.iter().find(|name| *name == key);
            let Some(field) = exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(key)))
            else {
                if unknown == Unknown::Refuse {
                    self.fail(format!("json: unknown field {}", crate::params::go_quote(key)));
                }
                continue;
            };
            if self.opaque {
                each(self, field, value);
            } else {
                self.in_struct = Some(name);
                self.path.push(field);
                each(self, field, value);
                self.path.pop();
                self.in_struct = outer;
            }
        }
    }

    /// Reads a part whose type decodes itself.
    pub(super) fn opaquely(&mut self, read: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.opaque, true);
        read(self);
        self.opaque = outer;
    }

    pub(super) fn string(&mut self, json: &Json) -> String {
        match json {
            Json::String(text) => text.clone(),
            Json::Null => String::new(),
            other => {
                self.mismatch(other.kind(), "string");
                String::new()
            }
        }
    }

    pub(super) fn bool(&mut self, json: &Json) -> bool {
        match json {
            Json::Bool(value) => *value,
            Json::Null => false,
            other => {
                self.mismatch(other.kind(), "bool");
                false
            }
        }
    }

    pub(super) fn int(&mut self, json: &Json) -> i64 {
        match json {
            Json::Number(text) => text.parse().unwrap_or_else(|_| {
                self.mismatch(&format!("number {text}"), "int");
                0
            }),
            Json::Null => 0,
            other => {
                self.mismatch(other.kind(), "int");
                0
            }
        }
    }

    pub(super) fn uint(&mut self, json: &Json) -> u64 {
        match json {
            Json::Number(text) => text.parse().unwrap_or_else(|_| {
                self.mismatch(&format!("number {text}"), "uint64");
                0
            }),
            Json::Null => 0,
            other => {
                self.mismatch(other.kind(), "uint64");
                0
            }
        }
    }

    pub(super) fn index(&mut self, json: &Json) -> Index {
        Index(self.uint(json))
    }

    /// Bytes, in base64.
    pub(super) fn bytes(&mut self, json: &Json) -> Bytes {
        match json {
            Json::String(text) => {
                // Go passes over line breaks.
                let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
                STANDARD.decode(&text).map(Bytes::from).unwrap_or_else(|error| {
                    let at = match error {
                        DecodeError::InvalidByte(at, _)
                        | DecodeError::InvalidLastSymbol { offset: at, .. } => at,
                        _ => text.len() / 4 * 4,
                    };
                    self.fail(format!("illegal base64 data at input byte {at}"));
                    Bytes::new()
                })
            }
            Json::Null => Bytes::new(),
            other => {
                self.mismatch(other.kind(), "[]uint8");
                Bytes::new()
            }
        }
    }

    pub(super) fn list<T>(
        &mut self,
        json: &Json,
        go_type: &str,
        mut item: impl FnMut(&mut Self, &Json) -> T,
    ) -> Vec<T> {
        match json {
            Json::Array(items) => items.iter().map(|json| item(self, json)).collect(),
            Json::Null => Vec::new(),
            other => {
                self.mismatch(other.kind(), go_type);
                Vec::new()
            }
        }
    }

    pub(super) fn strings(&mut self, json: &Json) -> Vec<String> {
        self.list(json, "[]string", Self::string)
    }

    /// `None` for null.
    pub(super) fn map<T>(
        &mut self,
        json: &Json,
        go_type: &str,
        mut value: impl FnMut(&mut Self, &Json) -> T,
    ) -> Option<BTreeMap<String, T>> {
        match json {
            Json::Object(entries) => {
                Some(entries.iter().map(|(key, json)| (key.clone(), value(self, json))).collect())
            }
            Json::Null => None,
            other => {
                self.mismatch(other.kind(), go_type);
                None
            }
        }
    }

    pub(super) fn pairs(&mut self, json: &Json) -> Option<BTreeMap<String, String>> {
        self.map(json, "map[string]string", Self::string)
    }

    /// A text in Go's grammar or a number of nanoseconds; anything else counts as not given, as in Consul. What is
    /// negative counts as zero.
    pub(super) fn duration(&mut self, json: &Json) -> Duration {
        match json {
            Json::String(text) => {
                let magnitude = text.strip_prefix('-').unwrap_or(text);
                match parse_duration(magnitude) {
                    Ok(duration) if magnitude.len() == text.len() => duration,
                    Ok(_) => Duration::ZERO,
                    Err(_) => {
                        let said = parse_duration(text).err().map(|error| error.to_string());
                        self.fail(said.unwrap_or_default());
                        Duration::ZERO
                    }
                }
            }
            Json::Number(text) => {
                let nanoseconds = text.parse::<f64>().unwrap_or(0.0).clamp(0.0, i64::MAX as f64);
                Duration::from_nanos(nanoseconds as u64)
            }
            _ => Duration::ZERO,
        }
    }
}
