//! The key/value store: transitions and reads.

use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use crs_types::{Error, Index, KvEntry};

use crate::change::{Changes, Topic};
use crate::command::KvCondition;
use crate::state::{Reply, State};

/// Values up to this size keep their encoded form; larger ones are encoded for each answer, so that memory stays
/// within twice the data.
const KEEP_ENCODED_UP_TO_BYTES: usize = 4096;

/// A key with the room for its encoded form.
#[derive(Debug)]
pub struct KvRecord {
    /// The pair.
    pub entry: KvEntry,
    encoded: OnceLock<Box<[u8]>>,
}

impl KvRecord {
    pub(crate) fn new(entry: KvEntry) -> Self {
        KvRecord { entry, encoded: OnceLock::new() }
    }

    /// Appends the encoded form, made at first need and kept while it is small.
    pub fn append_encoded(&self, out: &mut Vec<u8>, encode: impl FnOnce(&KvEntry, &mut Vec<u8>)) {
        if self.entry.value.len() > KEEP_ENCODED_UP_TO_BYTES {
            return encode(&self.entry, out);
        }
        let bytes = self.encoded.get_or_init(|| {
            let mut bytes = Vec::new();
            encode(&self.entry, &mut bytes);
            bytes.into_boxed_slice()
        });
        out.extend_from_slice(bytes);
    }
}

impl State {
    /// One key, and the index of that answer: its modify index, or the store's where it is missing.
    pub fn kv_get(&self, key: &str) -> (Index, Option<&Arc<KvRecord>>) {
        match self.kv.get(key) {
            Some(record) => (record.entry.modify_index, Some(record)),
            None => (self.kv_index, None),
        }
    }

    /// All keys that begin so, in byte order.
    pub fn kv_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Arc<KvRecord>> {
        self.kv
            .range::<_, str>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .map(|(_, record)| record)
    }

    /// The index of an answer about a prefix: the youngest change under it, deletions included; the store's where
    /// there is nothing under it, and for the whole store.
    pub fn kv_prefix_index(&self, prefix: &str) -> Index {
        if prefix.is_empty() {
            return self.kv_index;
        }
        let live = self.kv_prefix(prefix).map(|record| record.entry.modify_index).max();
        let dead = self
            .tombstones
            .range::<_, str>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(_, index)| *index)
            .max();
        live.max(dead).unwrap_or(self.kv_index)
    }

    /// How many keys there are.
    pub fn kv_len(&self) -> usize {
        self.kv.len()
    }

    fn kv_condition_holds(&self, key: &str, condition: &KvCondition) -> Result<bool, Error> {
        let existing = self.kv.get(key).map(|record| &record.entry);
        let held_by = existing.and_then(|entry| entry.session.as_ref());
        Ok(match condition {
            KvCondition::None => true,
            KvCondition::Cas(Index::ZERO) => existing.is_none(),
            KvCondition::Cas(index) => existing.is_some_and(|entry| entry.modify_index == *index),
            KvCondition::Acquire(session) => {
                if !self.sessions.contains_key(session) {
                    return Err(Error::refused(format!("invalid session {:?}", session.as_str())));
                }
                held_by.is_none_or(|holder| holder == session)
            }
            KvCondition::Release(session) => held_by == Some(session),
        })
    }

    pub(crate) fn kv_set(
        &mut self,
        key: &Arc<str>,
        flags: u64,
        value: &Bytes,
        condition: &KvCondition,
        changes: &mut Changes,
    ) -> Reply {
        match self.kv_condition_holds(key, condition) {
            Ok(true) => {}
            Ok(false) => return Reply::Held(false),
            Err(error) => return Reply::Refused(error),
        }
        let existing = self.kv.get(&**key).map(|record| &record.entry);
        let (old_session, old_locks) =
            existing.map_or((None, 0), |entry| (entry.session.clone(), entry.lock_index));
        let (session, lock_index) = match condition {
            KvCondition::None | KvCondition::Cas(_) => (old_session.clone(), old_locks),
            KvCondition::Acquire(session) if old_session.as_ref() == Some(session) => {
                (old_session.clone(), old_locks)
            }
            KvCondition::Acquire(session) => (Some(session.clone()), old_locks + 1),
            KvCondition::Release(_) => (None, old_locks),
        };
        // Consul does not count a write that changes nothing.
        if existing.is_some_and(|old| old.flags == flags && old.value == *value && old.session == session) {
            return Reply::Held(true);
        }
        let entry = KvEntry {
            key: existing.map_or_else(|| key.clone(), |old| old.key.clone()),
            flags,
            value: value.clone(),
            lock_index,
            session,
            create_index: existing.map_or(self.index, |old| old.create_index),
            modify_index: self.index,
        };
        self.kv_insert(entry);
        self.tombstones.remove(&**key);
        changes.touch(Topic::Key(key.clone()));
        Reply::Held(true)
    }

    /// Puts a pair in its place, and its holder into the list of held keys.
    pub(crate) fn kv_insert(&mut self, entry: KvEntry) {
        self.kv_index = self.kv_index.max(entry.modify_index);
        let (key, session) = (entry.key.clone(), entry.session.clone());
        let old = self.kv.insert(key.clone(), Arc::new(KvRecord::new(entry)));
        let old_session = old.and_then(|old| old.entry.session.clone());
        if old_session != session {
            if let Some(holder) = old_session {
                self.held_keys.remove(&(holder, key.clone()));
            }
            if let Some(holder) = session {
                self.held_keys.insert((holder, key), ());
            }
        }
    }

    pub(crate) fn kv_delete(
        &mut self,
        key: &Arc<str>,
        condition: &KvCondition,
        changes: &mut Changes,
    ) -> Reply {
        let existing = self.kv.get(&**key).map(|record| record.entry.modify_index);
        match (condition, existing) {
            (KvCondition::Cas(index), Some(current)) if current != *index => return Reply::Held(false),
            (KvCondition::Cas(_), None) => return Reply::Held(true),
            (KvCondition::Acquire(_) | KvCondition::Release(_), _) => return Reply::Held(false),
            _ => {}
        }
        self.kv_bury(key, changes);
        Reply::Held(true)
    }

    pub(crate) fn kv_delete_tree(&mut self, prefix: &str, changes: &mut Changes) -> Reply {
        let keys: Vec<Arc<str>> = self.kv_prefix(prefix).map(|record| record.entry.key.clone()).collect();
        for key in &keys {
            self.kv_bury(key, changes);
        }
        Reply::Held(true)
    }

    pub(crate) fn kv_bury(&mut self, key: &Arc<str>, changes: &mut Changes) {
        let Some(record) = self.kv.remove(&**key) else { return };
        if let Some(holder) = record.entry.session.clone() {
            self.held_keys.remove(&(holder, key.clone()));
        }
        self.tombstones.insert(key.clone(), self.index);
        self.kv_index = self.index;
        changes.touch(Topic::Key(key.clone()));
    }

    /// Forgetting a deletion changes no answer: whoever waits above its index goes on waiting.
    pub(crate) fn reap_tombstones(&mut self, up_to: Index) {
        let old: Vec<Arc<str>> = self
            .tombstones
            .iter()
            .filter(|(_, index)| **index <= up_to)
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            self.tombstones.remove(&*key);
        }
    }

    /// How many deletions are remembered, and the youngest index among them.
    pub fn tombstones(&self) -> (usize, Index) {
        (self.tombstones.len(), self.tombstones.values().copied().max().unwrap_or_default())
    }
}
