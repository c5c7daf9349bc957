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
pub mod codec;
pub mod envelope;
pub mod methods;
pub mod mux;
pub mod records;
