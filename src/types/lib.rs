//! The shared vocabulary of crs: names, records of the catalog and of the key/value store, query options, error kinds.
//!
//! What it is: plain values with the field's own names. What it is not: an encoding. JSON lives in `http`, msgpack in
//! `rpc`, the disk format in `store`; none of them derives from these types, so that a change of one is never a change
//! of another.
//!
//! Invariants: no I/O, no clock, no randomness. Everything is cheap to clone where it is kept in the catalog (names
//! are shared strings).

#![warn(missing_docs)]

mod catalog;
mod definition;
mod duration;
mod error;
mod ids;
mod kv;
mod query;
mod secret;
mod session;

pub use catalog::{CheckStatus, HealthCheck, Node, NodeService, ServiceAddress, Weights};
pub use definition::{CheckDefinition, CheckKind, CheckSpec, ServiceSpec};
pub use duration::{DurationError, format_duration, parse_duration};
pub use error::{Error, ErrorKind};
pub use ids::{CheckId, Datacenter, Index, NodeId, NodeName, ServiceId, ServiceName, SessionId};
pub use kv::KvEntry;
pub use query::{Consistency, QueryMeta, QueryOptions};
pub use secret::Secret;
pub use session::{Session, SessionBehavior};
