//! The memberlist and Serf protocols as HashiCorp's agents speak them, as state machines without sockets or clocks.
//!
//! Three layers, each in its folder: [`wire`] is bytes and their meaning, [`memberlist`] is who is there (probes,
//! suspicion, gossip), [`serf`] is what a pool does with it (members with a history, user events, queries, keys,
//! coordinates). A driver (`crs-pool`) owns the sockets, the timer and the snapshot file of one pool:
//!
//! ```text
//! datagram ─► Serf::handle_packet ─╮                  ╭─► poll_output        packets, dials, stream bytes
//! stream ───► Serf::handle_stream ─┼─► state machine ─┼─► poll_event         joins, failures, events, queries
//! time ─────► Serf::handle_timeout ╯                  ├─► poll_snapshot_line the file for a rejoin
//!                                                     ╰─► poll_timeout       when to call again
//! ```
//!
//! What it is not: it decides nothing about datacenters, roles or catalogs (a [`serf::MergePolicy`] does), and writes
//! no file.
//!
//! Invariants:
//! - Nothing read from the network panics, and each message, stream, table and queue has a bound.
//! - A run is decided by the seed and the calls: no ambient chance, no clock, no unordered iteration.
//! - A seed is never used twice with the same keys, since nonces come from it.

#![warn(missing_docs)]

pub mod memberlist;
pub mod serf;
pub mod time;
#[cfg(test)]
mod vectors;
pub mod wire;

pub use time::Time;
