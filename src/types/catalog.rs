//! The records of the catalog: nodes, services on nodes, checks.
//!
//! Create and modify indexes are not part of a record: the store keeps them beside it.

use std::collections::BTreeMap;
use std::fmt;

use crate::{CheckDefinition, CheckId, Datacenter, NodeId, NodeName, ServiceId, ServiceName};

/// A machine that takes part in the datacenter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Identity that survives a change of name or address; empty for nodes registered from outside without one.
    pub id: NodeId,
    /// Name, unique without regard to case.
    pub node: NodeName,
    /// IP address or host name.
    pub address: String,
    /// Where it was registered.
    pub datacenter: Datacenter,
    /// Further addresses by purpose (`lan`, `wan`, `lan_ipv4`, ...); absent and empty are told apart by Consul's JSON.
    pub tagged_addresses: Option<BTreeMap<String, String>>,
    /// Free key/value pairs; absent and empty are told apart by Consul's JSON.
    pub meta: Option<BTreeMap<String, String>>,
}

/// An address of a service under a tag.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceAddress {
    /// IP address or host name.
    pub address: String,
    /// TCP or UDP port; Consul keeps whatever number was given.
    pub port: i64,
}

/// DNS weights by health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weights {
    /// While passing; at least 1.
    pub passing: i64,
    /// While warning; at least 0.
    pub warning: i64,
}

impl Default for Weights {
    fn default() -> Self {
        Weights { passing: 1, warning: 1 }
    }
}

/// An instance of a service on a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeService {
    /// Empty for an ordinary service, otherwise what was given (`connect-proxy`, `mesh-gateway`, ...), kept unread.
    pub kind: String,
    /// Unique on its node.
    pub id: ServiceId,
    /// The name that clients ask for.
    pub service: ServiceName,
    /// Tags in the order given.
    pub tags: Vec<String>,
    /// Empty: the node's address counts.
    pub address: String,
    /// Further addresses by purpose.
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    /// Free key/value pairs; absent and empty are told apart by Consul's JSON.
    pub meta: Option<BTreeMap<String, String>>,
    /// 0: none. Consul keeps whatever number was given.
    pub port: i64,
    /// DNS weights.
    pub weights: Weights,
    /// Tags may be edited in the catalog and survive anti-entropy.
    pub enable_tag_override: bool,
    /// Service-mesh settings (`Proxy`), kept unread as compact JSON; empty where none were given.
    pub proxy: String,
    /// Service-mesh settings (`Connect`), kept unread as compact JSON; empty where none were given.
    pub connect: String,
}

/// The state of a check. The catalog keeps any text that was registered, as Consul does.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum CheckStatus {
    /// Healthy.
    Passing,
    /// Degraded, still serving.
    Warning,
    /// Failed; the state of every check before its first result.
    #[default]
    Critical,
    /// Whatever else a catalog registration said.
    Other(Box<str>),
}

impl CheckStatus {
    /// The word clients see.
    pub fn as_str(&self) -> &str {
        match self {
            CheckStatus::Passing => "passing",
            CheckStatus::Warning => "warning",
            CheckStatus::Critical => "critical",
            CheckStatus::Other(word) => word,
        }
    }
}

impl From<&str> for CheckStatus {
    fn from(word: &str) -> Self {
        match word {
            "passing" => CheckStatus::Passing,
            "warning" => CheckStatus::Warning,
            "critical" => CheckStatus::Critical,
            other => CheckStatus::Other(other.into()),
        }
    }
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A check of a node or of one of its services, as the catalog knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthCheck {
    /// The node it belongs to.
    pub node: NodeName,
    /// Unique on its node.
    pub check_id: CheckId,
    /// For people.
    pub name: String,
    /// The last result.
    pub status: CheckStatus,
    /// For people.
    pub notes: String,
    /// What the last run said.
    pub output: String,
    /// Empty for a check of the node itself.
    pub service_id: ServiceId,
    /// Filled in by the store from the service.
    pub service_name: ServiceName,
    /// Filled in by the store from the service.
    pub service_tags: Vec<String>,
    /// `http`, `tcp`, `ttl`, `script`, ...; empty where unknown.
    pub kind: String,
    /// What is run, as far as it was registered.
    pub definition: CheckDefinition,
}
