//! The real `crs` binary from outside: what it promises beyond the HTTP API that tests/interop compares with Consul.

// every item here is a test or shared by tests: an unwrap is an assertion, and nothing is exported
#![allow(clippy::unwrap_used, unreachable_pub)]

mod bad_input;
mod commands;
mod common;
mod durability;
mod first_job;
mod reload;
mod sync_trace;
mod templates;
mod watchers;
