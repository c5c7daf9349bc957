//! A pair of the key/value store.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Index, SessionId};

/// A key with its value. Indexes are part of it: clients use them for compare-and-set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KvEntry {
    /// The full key, without a leading slash.
    pub key: Arc<str>,
    /// Free number of the client.
    pub flags: u64,
    /// The value; empty is shown as `null`.
    pub value: Bytes,
    /// How often the key was locked.
    pub lock_index: u64,
    /// Who holds the lock.
    pub session: Option<SessionId>,
    /// Index of the command that made it.
    pub create_index: Index,
    /// Index of the command that last changed it.
    pub modify_index: Index,
}
