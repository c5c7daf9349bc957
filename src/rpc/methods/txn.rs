//! `Txn`: several operations as one.

use crs_types::{Datacenter, HealthCheck, KvEntry, Node, NodeName, NodeService};

use crate::blocks::{ReadOptions, ReplyMeta, WriteOptions};
use crate::codec::{Value, record};
use crate::methods::methods;
use crate::methods::session::Session;

record! {
    /// An operation on a key.
    pub struct KvOperation {
        /// `set`, `cas`, `get`, `check-index`, ...
        "Verb" verb: String,
        "DirEnt" entry: KvEntry,
    }

    /// An operation on a node.
    pub struct NodeOperation {
        "Verb" verb: String,
        "Node" node: Node,
    }

    /// An operation on a service.
    pub struct ServiceOperation {
        "Verb" verb: String,
        "Node" node: NodeName,
        "Service" service: NodeService,
    }

    /// An operation on a check.
    pub struct CheckOperation {
        "Verb" verb: String,
        "Check" check: HealthCheck,
    }

    /// An operation on a session; between a server and its log only.
    pub struct SessionOperation {
        "Verb" verb: String,
        "Session" session: Session,
    }

    /// One of them is set.
    pub struct Operation {
        "KV" kv: Option<KvOperation>,
        "Node" node: Option<NodeOperation>,
        "Service" service: Option<ServiceOperation>,
        "Check" check: Option<CheckOperation>,
        "Session" session: Option<SessionOperation>,
        "Intention" intention: Value,
    }

    /// Operations of which at least one writes.
    pub struct ApplyRequest {
        "Datacenter" datacenter: Datacenter,
        "Ops" operations: Vec<Operation>,
        ..options: WriteOptions,
    }

    /// Operations that only read.
    pub struct ReadRequest {
        "Datacenter" datacenter: Datacenter,
        "Ops" operations: Vec<Operation>,
        ..options: ReadOptions,
    }

    /// What an operation left behind; one of them is set.
    pub struct Outcome {
        "KV" kv: Option<KvEntry>,
        "Node" node: Option<std::sync::Arc<crs_store::Stored<Node>>>,
        "Service" service: Option<std::sync::Arc<crs_store::Stored<NodeService>>>,
        "Check" check: Option<std::sync::Arc<crs_store::Stored<HealthCheck>>>,
    }

    /// Why an operation failed.
    pub struct Failure {
        "OpIndex" operation: i64,
        "What" what: String,
    }

    /// Outcomes, or failures.
    pub struct Applied {
        "Results" outcomes: Vec<Outcome>,
        "Errors" failures: Vec<Failure>,
    }

    /// Outcomes, or failures.
    pub struct ReadReply {
        "Results" outcomes: Vec<Outcome>,
        "Errors" failures: Vec<Failure>,
        ..meta: ReplyMeta,
    }
}

methods! {
    /// All or nothing.
    Apply = "Txn.Apply", Write, ApplyRequest => Applied;
    /// Reads of one moment.
    Read = "Txn.Read", Read, ReadRequest => ReadReply;
}
