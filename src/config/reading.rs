//! Takes values out of the merged keys, with defaults and bounds, and collects what is wrong.

use std::fmt::Display;
use std::time::Duration;

use crs_types::{Secret, parse_duration};

use crate::diagnostic::{Diagnostic, Stage};
use crate::raw::{At, RawBlock, RawConfig, RawField};
use crate::value::Pos;

/// The merged keys and the faults found so far.
pub(crate) struct Reading<'a> {
    pub(crate) raw: &'a RawConfig,
    pub(crate) errors: Vec<Diagnostic>,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// Anything that has a place: a value, a block, or nothing at all.
pub(crate) type Place = Option<Pos>;

impl<'a> Reading<'a> {
    pub(crate) fn new(raw: &'a RawConfig) -> Self {
        Reading { raw, errors: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn error(&mut self, key: &str, pos: Place, text: impl Display) {
        let text = text.to_string();
        self.errors.push(Diagnostic { text, key: key.to_owned(), pos, meant: None, stage: Stage::Sense });
    }

    pub(crate) fn warn(&mut self, key: &str, pos: Place, text: impl Display) {
        let text = text.to_string();
        self.warnings.push(Diagnostic { text, key: key.to_owned(), pos, meant: None, stage: Stage::Sense });
    }

    /// Whether a key was given but could not be read.
    pub(crate) fn is_poisoned(&self, key: &str) -> bool {
        self.raw.poisoned.iter().any(|poisoned| {
            poisoned == key || key.strip_prefix(poisoned.as_str()).is_some_and(|rest| rest.starts_with('.'))
        })
    }

    pub(crate) fn field(&self, path: &str) -> Option<&'a RawField> {
        let raw: &'a RawConfig = self.raw;
        field_in(&raw.root, path)
    }

    /// Where a key stands, if it was given.
    pub(crate) fn place(&self, path: &str) -> Place {
        match self.field(path)? {
            RawField::Bool(at) => at.pos.clone(),
            RawField::Int(at) => at.pos.clone(),
            RawField::Float(at) => at.pos.clone(),
            RawField::Str(at) => at.pos.clone(),
            RawField::Strs(items) => items.first().and_then(|at| at.pos.clone()),
            RawField::StrMap(map) => map.values().next().and_then(|at| at.pos.clone()),
            RawField::Block(block) => block.pos.clone(),
            RawField::Blocks(blocks) => blocks.first().and_then(|block| block.pos.clone()),
            RawField::Any(value) => Some(value.pos.clone()),
            RawField::Anys(values) => values.first().map(|value| value.pos.clone()),
            RawField::StrLists(_) => None,
        }
    }

    pub(crate) fn bool_set(&self, path: &str) -> Option<bool> {
        match self.field(path) {
            Some(RawField::Bool(at)) => Some(at.value),
            _ => None,
        }
    }

    pub(crate) fn bool(&self, path: &str, default: bool) -> bool {
        self.bool_set(path).unwrap_or(default)
    }

    pub(crate) fn int_set(&self, path: &str) -> Option<&'a At<i64>> {
        match self.field(path) {
            Some(RawField::Int(at)) => Some(at),
            _ => None,
        }
    }

    /// A whole number within bounds. Below the lower one Consul's text says so; above the upper one ours.
    pub(crate) fn count<T: TryFrom<i64>>(&mut self, path: &str, default: T, min: i64) -> T {
        let Some(at) = self.int_set(path) else { return default };
        if at.value < min {
            let text = match min {
                0 => format!("{path} cannot be {}. Must be greater than or equal to zero", at.value),
                min => format!("{path} cannot be {}. Must be at least {min}", at.value),
            };
            self.error(path, at.pos.clone(), text);
            return default;
        }
        match T::try_from(at.value) {
            Ok(number) => number,
            Err(_) => {
                self.error(path, at.pos.clone(), format!("{path} cannot be {}. It is too large", at.value));
                default
            }
        }
    }

    /// A rate; below zero (Consul's -1) or absent: unlimited.
    pub(crate) fn rate(&self, path: &str) -> Option<f64> {
        match self.field(path) {
            Some(RawField::Float(at)) if at.value >= 0.0 && at.value < 1e300 => Some(at.value),
            _ => None,
        }
    }

    pub(crate) fn str_set(&self, path: &str) -> Option<&'a At<String>> {
        match self.field(path) {
            Some(RawField::Str(at)) => Some(at),
            _ => None,
        }
    }

    /// A text; an empty one counts as given.
    pub(crate) fn text(&self, path: &str, default: &str) -> String {
        self.str_set(path).map_or_else(|| default.to_owned(), |at| at.value.clone())
    }

    pub(crate) fn secret(&self, path: &str) -> Secret<String> {
        Secret::new(self.text(path, ""))
    }

    /// A path; empty: none.
    pub(crate) fn path(&self, path: &str) -> Option<std::path::PathBuf> {
        self.str_set(path).filter(|at| !at.value.is_empty()).map(|at| at.value.as_str().into())
    }

    pub(crate) fn list(&self, path: &str) -> &'a [At<String>] {
        match self.field(path) {
            Some(RawField::Strs(items)) => items,
            _ => &[],
        }
    }

    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        self.list(path).iter().map(|at| at.value.clone()).collect()
    }

    pub(crate) fn map(&self, path: &str) -> std::collections::BTreeMap<String, String> {
        match self.field(path) {
            Some(RawField::StrMap(map)) => {
                map.iter().map(|(key, at)| (key.clone(), at.value.clone())).collect()
            }
            _ => std::collections::BTreeMap::new(),
        }
    }

    pub(crate) fn duration_set(&mut self, path: &str) -> Option<Duration> {
        let at = self.str_set(path)?;
        self.parse_duration(path, at)
    }

    pub(crate) fn duration(&mut self, path: &str, default: Duration) -> Duration {
        self.duration_set(path).unwrap_or(default)
    }

    /// Reads a duration in Go's grammar; Consul's text where it is none.
    pub(crate) fn parse_duration(&mut self, path: &str, at: &At<String>) -> Option<Duration> {
        let negative = at.value.strip_prefix('-').is_some_and(|rest| parse_duration(rest).is_ok());
        match parse_duration(&at.value) {
            Ok(duration) => Some(duration),
            Err(_) if negative => {
                let text =
                    format!("{path}: invalid duration: {:?}: a negative time makes no sense here", at.value);
                self.error(path, at.pos.clone(), text);
                None
            }
            Err(error) => {
                let text = format!("{path}: invalid duration: {:?}: {error}", at.value);
                self.error(path, at.pos.clone(), text);
                None
            }
        }
    }
}

/// A field by its path below a block.
pub(crate) fn field_in<'a>(block: &'a RawBlock, path: &str) -> Option<&'a RawField> {
    match path.split_once('.') {
        None => block.fields.get(path),
        Some((first, rest)) => field_in(block.block(first)?, rest),
    }
}
