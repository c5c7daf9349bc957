//! Consul's RPC on the `server` port: the messages, the connections, both ends of a call.
//!
//! What it is: the format that agents and servers of Consul and of crs speak with each other, a client that finds its
//! way to a server that answers, and a listener that hands calls to whoever implements them. What it is not: the
//! implementation of any method (that is `server`), or knowledge of who the servers are (gossip tells).
//!
//! ```text
//! request → codec → envelope → stream of a multiplexed connection ─(TLS)─ TCP ─ selector byte → stream → dispatch
//! ```
//!
//! Invariants: nothing that a peer sends makes this crate panic, wait without end or take memory beyond its limits;
//! the bytes of a message are those of Consul 1.8.7, pinned by recorded exchanges.

pub mod blocks;
mod channel;
mod client;
pub mod codec;
mod dial;
mod dispatch;
pub mod envelope;
mod listener;
pub mod methods;
pub mod mux;
mod pool;
mod raft;
mod rate;
pub mod records;
mod selector;
mod servers;
mod session;
pub mod snapshot;
pub mod tls;

pub use channel::{BoxedIo, Budget, Channel, ChannelError, Charge, Io};
pub use client::Client;
pub use dial::{Dialer, Target};
pub use dispatch::{Call, Dispatch, RaftInlet, reply_bytes};
pub use listener::{Listener, ListenerLimits};
pub use pool::{CallError, Pool, PoolLimits};
pub use raft::{Locate, RaftService, RaftTransport};
pub use rate::RateLimit;
pub use selector::Selector;
pub use servers::{Server, Servers};
