//! Reading, merging and validating the agent's configuration.
//!
//! What it is: text in (given by the caller, with a name per source), a [`Config`] or all errors out. What it is not: it
//! opens no file, reads no environment variable and asks no network card; what it needs of the machine comes in as an
//! argument.
//!
//! ```text
//! Source (name, bytes, format) -> reader -> Value (with positions) -> schema -> merge -> Config | all errors
//! ```
//!
//! Invariants: never a panic, whatever the bytes; every error names its source, line and key path; the same sources in
//! the same order give the same result.

#![warn(missing_docs)]

mod config;
mod settings;
mod templates;
mod value;
mod watch;

pub use config::{
    Cidr, Config, Gossip, GossipTiming, Join, Listen, ListenAddr, Network, Ports, RetryJoin, UnixSockets,
};
pub use settings::{
    Acl, AclTokens, AutoEncrypt, Autopilot, CacheLimits, Checks, Connect, DefaultPolicy, Dns, DownPolicy,
    Http, Leave, Limits, Log, LogLevel, Raft, Telemetry, Tls, TlsVersion, Ui,
};
pub use templates::TemplateSettings;
pub use value::{Entry, Kind, Map, Pos, Value};
pub use watch::{WatchHandler, WatchKind, WatchSpec};
