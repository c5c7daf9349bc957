//! `watches`: what to observe, and what to do on a change.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::Secret;

/// One entry of `watches`.
#[derive(Clone, PartialEq, Debug)]
pub struct WatchSpec {
    /// What is observed.
    pub kind: WatchKind,
    /// `datacenter`; empty: the agent's own.
    pub datacenter: String,
    /// `token`; empty: the agent's default.
    pub token: Secret<String>,
    /// `stale` reads.
    pub stale: bool,
    /// What is done on a change.
    pub handler: WatchHandler,
}

/// What is observed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchKind {
    /// `key`: one key.
    Key(String),
    /// `keyprefix`: all keys under a prefix.
    KeyPrefix(String),
    /// `services`: the list of services.
    Services,
    /// `nodes`: the list of nodes.
    Nodes,
    /// `service`: the instances of a service.
    Service {
        /// Name.
        service: String,
        /// All of these tags.
        tags: Vec<String>,
        /// Only healthy ones.
        passing_only: bool,
    },
    /// `checks`: of a service, or of a state; both empty: every check.
    Checks {
        /// Service name, or empty.
        service: String,
        /// State, or empty.
        state: String,
    },
    /// `event`: user events, of a name or all.
    Event(String),
    /// `connect_roots`: the CA's roots.
    ConnectRoots,
    /// `connect_leaf`: a service's certificate.
    ConnectLeaf(String),
    /// `agent_service`: one of the agent's services.
    AgentService(String),
}

/// What is done on a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WatchHandler {
    /// `args`: program and arguments, JSON on standard input.
    Exec(Vec<String>),
    /// `handler`: a line for the shell (legacy).
    Shell(String),
    /// `handler_type = "http"` with `http_handler_config`.
    Http {
        /// `path`: the URL.
        url: String,
        /// `method`; default POST.
        method: String,
        /// `header`.
        header: BTreeMap<String, Vec<String>>,
        /// `timeout`; default 10 s.
        timeout: Duration,
        /// `tls_skip_verify`.
        tls_skip_verify: bool,
    },
}
