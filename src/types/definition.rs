//! What an operator or a client defines: services and checks, before they become records of the catalog.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{CheckId, CheckStatus, Secret, ServiceAddress, ServiceId, ServiceName, Weights};

/// How a check is done, as the catalog stores it for information (`Definition` of a health check).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckDefinition {
    /// URL of an HTTP check.
    pub http: String,
    /// Method of an HTTP check; empty means GET.
    pub method: String,
    /// Request headers of an HTTP check.
    pub header: BTreeMap<String, Vec<String>>,
    /// Request body of an HTTP check.
    pub body: String,
    /// Accept any certificate.
    pub tls_skip_verify: bool,
    /// `host:port` of a TCP check.
    pub tcp: String,
    /// Time between runs.
    pub interval: Duration,
    /// Longest a run may take.
    pub timeout: Duration,
    /// Remove the service after this long critical; zero: never.
    pub deregister_critical_service_after: Duration,
}

/// What a check does. Exactly one kind per check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// A request; 2xx passes, 429 warns, anything else is critical.
    Http {
        /// Absolute URL.
        url: String,
        /// Empty means GET.
        method: String,
        /// Request headers.
        header: BTreeMap<String, Vec<String>>,
        /// Request body.
        body: String,
        /// Accept any certificate.
        tls_skip_verify: bool,
    },
    /// A connection to `host:port`.
    Tcp(String),
    /// The client reports in time, or the check turns critical.
    Ttl(Duration),
    /// A program: exit code 0 passes, 1 warns, anything else is critical.
    Script(Vec<String>),
    /// A program run inside a container.
    Docker {
        /// Which container.
        container_id: String,
        /// Shell to run the arguments with; empty means `/bin/sh`.
        shell: String,
        /// Program and arguments.
        args: Vec<String>,
    },
    /// The gRPC health protocol, `host:port[/service]`.
    Grpc {
        /// Where, and which service.
        target: String,
        /// Over TLS.
        use_tls: bool,
        /// Accept any certificate.
        tls_skip_verify: bool,
    },
    /// The health of another node or service stands for this one.
    Alias {
        /// Empty: this agent's node.
        node: String,
        /// Empty: the node's own checks.
        service: ServiceId,
    },
}

impl CheckKind {
    /// The word in `Type` of a health check.
    pub fn type_name(&self) -> &'static str {
        match self {
            CheckKind::Http { .. } => "http",
            CheckKind::Tcp(_) => "tcp",
            CheckKind::Ttl(_) => "ttl",
            CheckKind::Script(_) => "script",
            CheckKind::Docker { .. } => "docker",
            CheckKind::Grpc { .. } => "grpc",
            CheckKind::Alias { .. } => "alias",
        }
    }
}

/// A check as defined in a file or registered with an agent, validated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSpec {
    /// Empty: derived from the service (`service:<id>`, `service:<id>:<n>`) or from the name.
    pub id: CheckId,
    /// For people. Empty in a service's check: `Service '<name>' check`.
    pub name: String,
    /// For people.
    pub notes: String,
    /// Empty: a check of the node.
    pub service_id: ServiceId,
    /// Used for the registration; empty: the agent's default.
    pub token: Secret<String>,
    /// State before the first result; `None` means critical.
    pub status: Option<CheckStatus>,
    /// What is run.
    pub kind: CheckKind,
    /// Time between runs; zero for TTL and alias checks.
    pub interval: Duration,
    /// Longest a run may take; zero: 10 seconds.
    pub timeout: Duration,
    /// Remove the service after this long critical; zero: never.
    pub deregister_critical_service_after: Duration,
    /// Good results in a row before the state turns to passing.
    pub success_before_passing: u32,
    /// Bad results in a row before the state turns to critical.
    pub failures_before_critical: u32,
    /// Output kept per result, in bytes; 0: the agent's `check_output_max_size`.
    pub output_max_size_bytes: usize,
}

/// A service as defined in a file or registered with an agent, validated.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceSpec {
    /// Kept unread.
    pub kind: String,
    /// Default: the name.
    pub id: ServiceId,
    /// Required.
    pub name: ServiceName,
    /// In the order given.
    pub tags: Vec<String>,
    /// Empty: the node's address.
    pub address: String,
    /// Further addresses by purpose.
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Free key/value pairs.
    pub meta: Option<BTreeMap<String, String>>,
    /// 0: none.
    pub port: i64,
    /// DNS weights.
    pub weights: Weights,
    /// Tags may be edited in the catalog.
    pub enable_tag_override: bool,
    /// Compact JSON, kept unread; empty where none was given.
    pub proxy: String,
    /// Compact JSON, kept unread; empty where none was given.
    pub connect: String,
    /// Used for the registration; empty: the agent's default.
    pub token: Secret<String>,
    /// Its checks, ids filled in.
    pub checks: Vec<CheckSpec>,
}
