//! `scratch`: a notebook that lives as long as one rendering.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::value::{Text, Value};

/// A shared notebook. Cloning it gives another handle to the same pages.
#[derive(Clone, Default)]
pub struct Scratch(Arc<Mutex<BTreeMap<Text, Value>>>);

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scratch")
    }
}

impl Scratch {
    fn pages(&self) -> MutexGuard<'_, BTreeMap<Text, Value>> {
        // a panic while it was held leaves at worst a half-written notebook of a rendering that is over
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there anything under that key?
    pub(crate) fn has(&self, key: &Text) -> bool {
        self.pages().contains_key(key)
    }

    /// What is under that key, or nothing.
    pub(crate) fn get(&self, key: &Text) -> Value {
        self.pages().get(key).cloned().unwrap_or(Value::Nil)
    }

    /// Writes; with `only_new`, keeps what was there.
    pub(crate) fn set(&self, key: &Text, value: Value, only_new: bool) {
        let mut pages = self.pages();
        if !(only_new && pages.contains_key(key)) {
            pages.insert(key.clone(), value);
        }
    }

    /// Writes an entry of a map under that key, which is made if need be.
    pub(crate) fn map_set(
        &self,
        key: &Text,
        entry: &Text,
        value: Value,
        only_new: bool,
    ) -> Result<(), String> {
        let mut pages = self.pages();
        let mut entries: BTreeMap<_, _> = match pages.remove(key) {
            None => BTreeMap::new(),
            Some(Value::Map(map)) => {
                Arc::try_unwrap(map).map_or_else(|shared| shared.entries.clone(), |own| own.entries)
            }
            Some(other) => {
                pages.insert(key.clone(), other);
                return Err(format!("{:?} is not a map", key.to_str()));
            }
        };
        let slot = crate::value::MapKey::Text(entry.clone());
        if !(only_new && entries.contains_key(&slot)) {
            entries.insert(slot, value);
        }
        let map =
            crate::value::MapValue { ty: crate::value::Ty::Map(&crate::value::Ty::Any), entries, nil: false };
        pages.insert(key.clone(), Value::Map(Arc::new(map)));
        Ok(())
    }

    /// The values of a map under that key, in the order of its keys.
    pub(crate) fn map_values(&self, key: &Text) -> Result<Value, String> {
        match self.pages().get(key) {
            None => Ok(Value::any_list(Vec::new())),
            Some(Value::Map(map)) => Ok(Value::any_list(map.entries.values().cloned().collect())),
            Some(_) => Err(format!("{:?} is not a map", key.to_str())),
        }
    }
}
