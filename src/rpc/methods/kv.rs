//! `KVS`: the key/value store.

use std::sync::Arc;

use crs_types::{Datacenter, KvEntry};

use crate::blocks::{ReadOptions, ReplyMeta, WriteOptions};
use crate::codec::{Listed, record};
use crate::methods::methods;

record! {
    /// A write.
    pub struct ApplyRequest {
        "Datacenter" datacenter: Datacenter,
        /// `set`, `delete`, `delete-cas`, `delete-tree`, `cas`, `lock`, `unlock`.
        "Op" op: String,
        "DirEnt" entry: KvEntry,
        ..options: WriteOptions,
    }

    /// A read of a key, or of all keys that begin so.
    pub struct KeyRead {
        "Datacenter" datacenter: Datacenter,
        "Key" key: Arc<str>,
        ..options: ReadOptions,
    }

    /// A read of names.
    pub struct KeysRead {
        "Datacenter" datacenter: Datacenter,
        "Prefix" prefix: Arc<str>,
        /// Consul's spelling.
        "Seperator" separator: String,
        ..options: ReadOptions,
    }

    /// Pairs.
    pub struct Entries {
        "Entries" entries: Vec<KvEntry>,
        ..meta: ReplyMeta,
    }

    /// Names.
    pub struct Keys {
        "Keys" keys: Listed<Arc<str>>,
        ..meta: ReplyMeta,
    }
}

methods! {
    /// Writes. The reply to `set`, `delete` and `delete-tree` is false although it worked; the others say the truth.
    Apply = "KVS.Apply", Write, ApplyRequest => bool;
    /// A key.
    Get = "KVS.Get", Read, KeyRead => Entries;
    /// All keys that begin so.
    List = "KVS.List", Read, KeyRead => Entries;
    /// Their names.
    ListKeys = "KVS.ListKeys", Read, KeysRead => Keys;
}
