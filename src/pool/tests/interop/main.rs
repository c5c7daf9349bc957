//! Pools of real `serf` (and one real `consul`) agents with members of ours, mixed.
//!
//! The real programs are looked for in the folder that `CRS_PEERS` names (`bin/serf`, `bin/consul`), else in
//! `target/peers`. Without them these tests say so and pass, but fail where `CI` is `true`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod consul;
mod crash;
mod keys;
mod member;
mod mixed;
mod peer;
