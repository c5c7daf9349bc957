//! The replicated state of a datacenter: catalog, key/value store, sessions.
//!
//! What it is: a pure function. [`State::apply`] takes one [`Command`] and yields the next state, a [`Reply`] for the
//! one who proposed it and the [`Topic`]s whose answers changed. What it is not: durable, shared, or aware of time;
//! `raft` orders and keeps the commands, `server` publishes snapshots and wakes watchers.
//!
//! ```text
//!   Command ──apply──▶ State ──clone (O(1))──▶ snapshot for readers
//!                        │
//!                        └─▶ Applied { reply, changes: topics }
//! ```
//!
//! Invariants:
//! - Two replicas that apply the same commands hold the same records and indexes: no clock, no chance, no unordered
//!   iteration. Everything undetermined travels in the command.
//! - A clone is a snapshot: it never changes and costs a few reference counts.
//! - Every topic whose answer changed is named in the changes, and its answer's index rises above every index that
//!   was shown for it before. (A restore is the exception: it wakes everybody.)
//! - Commands and snapshots on disk are versioned records of their own (`codec`); golden bytes pin them.

#![warn(missing_docs)]

mod catalog;
mod catalog_read;
mod change;
mod codec;
mod command;
mod kv;
mod record;
mod records_codec;
mod session;
mod snapshot;
mod state;
mod txn;
mod txn_codec;

pub use catalog_read::{Found, Instance, NodeView};
pub use change::{Changes, Topic};
pub use codec::DecodeError;
pub use command::{Command, KvCondition, Registration};
pub use kv::KvRecord;
pub use record::Stored;
pub use state::{Applied, Reply, State};
pub use txn::{CatalogVerb, KvVerb, TxnError, TxnOp, TxnOutcome, TxnResult};

#[cfg(test)]
mod state_test;
