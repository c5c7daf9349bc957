//! The HTTP API: Consul's, byte for byte where clients could tell.
//!
//! ```text
//!   socket ──listener──▶ hyper ──▶ Router::serve ──table──▶ handler(Call) ──▶ Reply | Failure ──▶ headers, bytes
//!                                     │                        │
//!                        paths, methods, tokens in logs,   Server::query / writes; JSON by copying
//!                        panics, pretty, gzip              what each record's encoder made once
//! ```
//! What it is: routes, parameters, bodies, JSON, filters, the error table, the listeners. What it is not: state or
//! rules; those are the server's and the agent's.
//!
//! Invariants:
//! - Every endpoint is one row of [`ROUTES`], with the right it needs. A handler shows or does nothing that the call's
//!   authorizer does not allow.
//! - What is cached is the encoded form of a record, never an answer.
//! - An error is a status of the one table in `error`, and plain text.
//! - Tokens do not reach the log. Every size, count and wait from outside has a limit.

mod agent;
mod api;
mod body;
mod call;
mod catalog;
mod error;
mod filter;
mod health;
mod json;
mod kv;
mod listener;
mod near;
mod options;
mod params;
mod reply;
mod route;
mod session;
mod status;
mod table;
mod txn;
mod unbuilt;

pub use api::{Api, Settings};
pub use body::{check_definition, service_definition};
pub use call::{Call, MAX_JSON_BODY_BYTES, Outcome, Peer};
pub use error::Failure;
pub use listener::{Bound, ListenLimits, serve};
pub use reply::{Content, Meta, Reply};
pub use route::{Handler, Right, Route, Router, Running};
pub use table::ROUTES;

#[cfg(test)]
mod api_test;
#[cfg(test)]
mod listener_test;
