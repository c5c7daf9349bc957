//! `Internal`: what the web page and the event command ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use crs_store::Stored;
use crs_types::{Datacenter, HealthCheck, NodeId, NodeName, NodeService, Secret};

use crate::blocks::{DatacenterRead, NodeRead, ReadOptions, ReplyMeta, Source};
use crate::codec::record;
use crate::methods::health::Instances;
use crate::methods::methods;

record! {
    /// Fires an event in a datacenter. The payload is a whole event message of the agents.
    pub struct EventFireRequest {
        "Datacenter" datacenter: Datacenter,
        "Name" name: String,
        "Payload" payload: Bytes,
        ..options: ReadOptions,
    }

    /// That it was fired.
    pub struct EventFired {
        ..meta: ReplyMeta,
    }

    /// A node with all it has.
    pub struct NodeDetail {
        "ID" id: NodeId,
        "Node" node: NodeName,
        "Address" address: String,
        "TaggedAddresses" tagged_addresses: Option<BTreeMap<String, String>>,
        "Meta" meta: Option<BTreeMap<String, String>>,
        "Services" services: Vec<Arc<Stored<NodeService>>>,
        "Checks" checks: Vec<Arc<Stored<HealthCheck>>>,
    }

    /// Nodes with all they have.
    pub struct NodeDump {
        "Dump" nodes: Vec<NodeDetail>,
        ..meta: ReplyMeta,
    }

    /// A read of all instances of all services.
    pub struct ServiceDumpRead {
        "Datacenter" datacenter: Datacenter,
        "ServiceKind" service_kind: String,
        "UseServiceKind" use_service_kind: bool,
        "Source" source: Source,
        ..options: ReadOptions,
    }

    /// A keyring operation.
    pub struct KeyringRequest {
        /// `list`, `install`, `use`, `remove`.
        "Operation" operation: String,
        "Key" key: Secret<String>,
        "Datacenter" datacenter: Datacenter,
        "Forwarded" forwarded: bool,
        "LocalOnly" local_only: bool,
        "RelayFactor" relay_factor: u8,
        ..options: ReadOptions,
    }

    /// What the nodes of a pool said.
    pub struct KeyringReply {
        "WAN" wan: bool,
        "Datacenter" datacenter: Datacenter,
        "Segment" segment: String,
        "Messages" messages: BTreeMap<String, String>,
        "Keys" keys: BTreeMap<String, i64>,
        "PrimaryKeys" primary_keys: BTreeMap<String, i64>,
        "NumNodes" num_nodes: i64,
        "Error" error: String,
    }

    /// The WAN pool first.
    pub struct KeyringReplies {
        "Responses" replies: Vec<KeyringReply>,
        ..meta: ReplyMeta,
    }
}

methods! {
    /// Fires an event.
    EventFire = "Internal.EventFire", Write, EventFireRequest => EventFired;
    /// A node with all it has.
    NodeInfo = "Internal.NodeInfo", Read, NodeRead => NodeDump;
    /// All nodes with all they have.
    DumpNodes = "Internal.NodeDump", Read, DatacenterRead => NodeDump;
    /// All instances of all services.
    DumpServices = "Internal.ServiceDump", Read, ServiceDumpRead => Instances;
    /// The keys of gossip.
    KeyringOperation = "Internal.KeyringOperation", Write, KeyringRequest => KeyringReplies;
}
