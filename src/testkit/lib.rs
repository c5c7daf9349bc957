//! What black-box tests and benchmarks stand on: starting and stopping real agents, speaking HTTP to them byte by
//! byte, standing in for the services they watch, and waiting for what must come true. For development only; nothing
//! that ships depends on it, and it depends on none of the code it tests.
//!
//! ```text
//! Setup ──start──▶ Subject (process, address, directory) ──client()──▶ Client ──▶ Reply ──json()──▶ pattern
//!                                                         Web (a switchable HTTP server to be watched)
//! ```
//!
//! - The **subject** is real Consul or crs, chosen by `CRS_TEST_SUBJECT=consul|crs`: a case is proven against the
//!   former before it binds the latter.
//! - Every subject has a loopback address of its own, so that default ports never clash.
//! - Nothing sleeps for a guessed time: [`eventually`] asks until a deadline.
//! - A subject that is dropped is stopped; the files of a failed test stay, and their place is printed.

mod address;
mod deadline;
mod http;
mod json;
mod process;
mod subject;
mod web;

pub use address::Loopback;
pub use deadline::eventually;
pub use http::{Client, Reply, Request};
pub use json::Json;
pub use process::{ProcessStats, signal, stats_of};
pub use subject::{Kind, Mode, Setup, Subject, peer};
pub use web::Web;
