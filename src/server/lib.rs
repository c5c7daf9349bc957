//! A server of the datacenter: the replicated state, published to readers, and the endpoints that change it.
//!
//! ```text
//!   write  request ─▶ endpoint (authorised, checked) ─▶ Raft::propose ─▶ commit ─▶ store::apply ─▶ reply
//!                                                                                     │
//!   read   snapshot ◀── Published (arc-swap) ◀── publish(state, changes) ◀────────────┘
//!   block  subscribe ─▶ read ─▶ index > min? answer : sleep until a topic of the answer changed
//! ```
//!
//! What it is not: an HTTP or RPC server, nor aware of the agent that holds it.
//!
//! Invariants:
//! - A read takes a snapshot and never waits for a writer.
//! - A watcher subscribes before it reads, so that no change falls between.
//! - A watcher is woken only by a topic it read.

mod catalog;
mod kv;
mod leader;
mod locks;
mod published;
mod query;
mod server;
mod session;
mod txn;
mod watch;

pub use catalog::Deregistration;
pub use published::Published;
pub use query::{Answer, QueryLimits};
pub use server::{Server, ServerSettings};
pub use session::{DEFAULT_LOCK_DELAY, SessionRequest};
pub use watch::{Subscription, WatchHub};

#[cfg(test)]
mod server_test;
