//! The HTTP client of crs: speaks Consul's API to an agent over TCP, TLS or a socket file.
//!
//! What it is: requests, answers, and blocking queries in a loop, for the command line and for the template watcher. What
//! it is not: a typed API; answers are bytes, and those who ask know their shape.
//!
//! ```text
//! ClientConfig (flags, CRS_*/CONSUL_*) -> Client -> Response | Streamed
//!                                                   Watch: index, wait, reset, backoff -> Response on change
//! ```
//!
//! Invariants: every wait has a bound, except on streams; tokens never reach a message; errors read as Consul's clients
//! print them, because scripts look at them.

mod client;
mod config;
mod connect;
mod error;
mod tls;
mod watch;

pub use bytes::Bytes;
pub use client::{Client, Response, Streamed};
pub use config::{Address, ClientConfig, TlsOptions, read_token};
pub use error::{Error, system_text};
pub use http::Method;
pub use watch::{Backoff, Growth, Watch};
