//! `Health`: checks, and instances with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crs_store::{Instance, Stored};
use crs_types::{Datacenter, HealthCheck};

use crate::blocks::{NodeRead, ReadOptions, ReplyMeta, Source};
use crate::codec::record;
use crate::methods::catalog::ServiceRead;
use crate::methods::methods;

record! {
    /// A read of checks by their state.
    pub struct ChecksInStateRead {
        "Datacenter" datacenter: Datacenter,
        /// A status, or `any`.
        "State" state: String,
        "NodeMetaFilters" node_meta_filters: Option<BTreeMap<String, String>>,
        "Source" source: Source,
        ..options: ReadOptions,
    }

    /// Checks.
    pub struct Checks {
        "HealthChecks" checks: Vec<Arc<Stored<HealthCheck>>>,
        ..meta: ReplyMeta,
    }

    /// Instances with their nodes and checks.
    pub struct Instances {
        "Nodes" nodes: Vec<Instance>,
        ..meta: ReplyMeta,
    }
}

methods! {
    /// Instances of a service, healthy or not.
    ServiceNodes = "Health.ServiceNodes", Read, ServiceRead => Instances;
    /// Checks of a service.
    ServiceChecks = "Health.ServiceChecks", Read, ServiceRead => Checks;
    /// All checks on a node.
    NodeChecks = "Health.NodeChecks", Read, NodeRead => Checks;
    /// Checks in a state.
    ChecksInState = "Health.ChecksInState", Read, ChecksInStateRead => Checks;
}
