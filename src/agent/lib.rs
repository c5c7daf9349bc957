//! The agent: what runs on a node. Its services and checks, their way into the catalog, reload, and the life of the process.
//!
//! ```text
//!   files ─▶ Config ─┐                       ┌─▶ journal (on disk before it is acknowledged)
//!   HTTP API ────────┴─▶ Agent ─▶ LocalState ┤
//!   check runs ─▶ streak ───────▶            └─▶ anti-entropy ─▶ Servers ─▶ catalog
//! ```
//!
//! What it is not: an HTTP server (that one is handed in as [`Launch::bind`]), nor the command line.
//!
//! Invariants:
//! - What was registered over the API is on disk before the answer goes out (not in dev mode).
//! - Two writes about one id are never under way to the catalog together.
//! - A result counts only for the definition of the check that it was run for.
//! - A broken configuration changes nothing in a running agent.

mod agent;
mod banner;
mod checks;
mod data_dir;
mod jitter;
mod journal;
mod local;
mod log;
mod metrics;
mod panics;
mod pid_file;
mod reload;
mod replica;
mod servers;
mod signals;
mod start;
mod stored;
mod sync;

pub use agent::{Agent, aggregated_status};
pub use banner::SPOKEN_VERSION;
pub use checks::call;
pub use local::{LocalCheck, LocalService, LocalState, Source};
pub use log::{Line, LogHandle, Monitor};
pub use metrics::{Aggregate, Interval, Metrics, Process};
pub use panics::caught;
pub use reload::ReadAgain;
pub use servers::Servers;
pub use start::{Bind, Launch, Listeners, Serve, Task, run};
