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

mod check;
mod config;
mod cursor;
mod definition;
mod diagnostic;
mod flags;
mod hcl;
mod json;
mod load;
mod network;
mod placeholder;
mod raw;
mod reading;
mod reload;
mod schema;
mod sections;
mod settings;
mod sockaddr;
mod source;
mod templates;
mod value;
mod watch;

pub use check::{CheckDraft, CheckFault, SHORTEST_DEREGISTER, SHORTEST_INTERVAL};
pub use config::{
    Cidr, Config, Gossip, GossipTiming, Join, Listen, ListenAddr, Network, Ports, RetryJoin, UnixSockets,
};
pub use definition::check_metadata;
pub use diagnostic::{Diagnostic, Errors, Stage};
pub use flags::{AGENT_FLAGS, AgentFlag, FlagError, FlagKind, Flags};
pub use load::{Loaded, Request, load, load_services};
pub use placeholder::{Lookup, NoLookup};
pub use raw::RawConfig;
pub use reload::{ReloadPlan, Reloadable, diff};
pub use schema::is_agent_key;
pub use settings::{
    Acl, AclTokens, AutoEncrypt, Autopilot, CacheLimits, Checks, Connect, DefaultPolicy, Dns, DownPolicy,
    Http, Leave, Limits, Log, LogLevel, Raft, Telemetry, Tls, TlsVersion, Ui,
};
pub use sockaddr::{Interface, Machine};
pub use source::{Document, Format, MAX_SOURCE_BYTES, Source, SyntaxError, read};
pub use templates::TemplateSettings;
pub use value::{Entry, Kind, Map, Pos, Value};
pub use watch::{WatchHandler, WatchKind, WatchSpec};
