//! `Catalog`: nodes, services and where they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crs_store::{Registration, Stored};
use crs_types::{
    CheckId, Datacenter, HealthCheck, Node, NodeId, NodeName, NodeService, ServiceId, ServiceName,
};

use crate::blocks::{DatacenterRead, Indexes, NodeRead, ReadOptions, ReplyMeta, Source, WriteOptions};
use crate::codec::{Listed, record};
use crate::methods::methods;
use crate::records::ServiceNode;

record! {
    /// A node with whatever of its services and checks is to be registered along.
    pub struct RegisterRequest {
        "Datacenter" datacenter: Datacenter,
        "ID" id: NodeId,
        "Node" node: NodeName,
        "Address" address: String,
        "TaggedAddresses" tagged_addresses: Option<BTreeMap<String, String>>,
        "NodeMeta" node_meta: Option<BTreeMap<String, String>>,
        "Service" service: Option<NodeService>,
        "Check" check: Option<HealthCheck>,
        "Checks" checks: Vec<HealthCheck>,
        "SkipNodeUpdate" skip_node_update: bool,
        ..options: WriteOptions,
        ..indexes: Indexes,
    }

    /// Removes a service, a check, or a node with all it has.
    pub struct DeregisterRequest {
        "Datacenter" datacenter: Datacenter,
        "Node" node: NodeName,
        "ServiceID" service_id: ServiceId,
        "CheckID" check_id: CheckId,
        ..options: WriteOptions,
    }

    /// A read about a service.
    pub struct ServiceRead {
        "Datacenter" datacenter: Datacenter,
        "ServiceName" service_name: ServiceName,
        /// What agents before 1.3 sent in place of `ServiceTags`.
        "ServiceTag" service_tag: String,
        /// All of them must be there, if `TagFilter` says so.
        "ServiceTags" service_tags: Vec<String>,
        "ServiceAddress" service_address: String,
        "TagFilter" tag_filter: bool,
        "Connect" connect: bool,
        "Ingress" ingress: bool,
        "NodeMetaFilters" node_meta_filters: Option<BTreeMap<String, String>>,
        "Source" source: Source,
        ..options: ReadOptions,
    }

    /// A read that names no datacenter.
    pub struct DatacentersRead {
        ..options: ReadOptions,
    }

    /// Nodes.
    pub struct Nodes {
        "Nodes" nodes: Vec<Arc<Stored<Node>>>,
        ..meta: ReplyMeta,
    }

    /// Names of services with all tags of their instances.
    pub struct Services {
        "Services" services: BTreeMap<ServiceName, Listed<String>>,
        ..meta: ReplyMeta,
    }

    /// Names of services.
    pub struct ServiceList {
        "Services" services: Listed<ServiceNamed>,
        ..meta: ReplyMeta,
    }

    /// A service's name.
    pub struct ServiceNamed {
        "Name" name: ServiceName,
    }

    /// Where a service is.
    pub struct ServiceNodes {
        "ServiceNodes" service_nodes: Vec<ServiceNode>,
        ..meta: ReplyMeta,
    }

    /// A node and its services by id.
    pub struct NodeServiceMap {
        "Node" node: Option<Arc<Stored<Node>>>,
        "Services" services: BTreeMap<ServiceId, Arc<Stored<NodeService>>>,
    }

    /// A node and its services; nothing where the node is unknown.
    pub struct NodeServices {
        "NodeServices" node_services: Option<NodeServiceMap>,
        ..meta: ReplyMeta,
    }

    /// A node and its services as a list.
    pub struct NodeServiceItems {
        "Node" node: Option<Arc<Stored<Node>>>,
        "Services" services: Vec<Arc<Stored<NodeService>>>,
    }

    /// A node and its services as a list.
    pub struct NodeServiceList {
        "NodeServices" node_services: NodeServiceItems,
        ..meta: ReplyMeta,
    }
}

impl RegisterRequest {
    /// From what the endpoints take.
    pub fn new(datacenter: Datacenter, registration: Registration, options: WriteOptions) -> Self {
        let Registration { node, skip_node_update, service, mut checks } = registration;
        // As agents do: one check goes into the field for one.
        let check = if checks.len() == 1 { checks.pop() } else { None };
        RegisterRequest {
            datacenter,
            id: node.id,
            node: node.node,
            address: node.address,
            tagged_addresses: node.tagged_addresses,
            node_meta: node.meta,
            service,
            check,
            checks,
            skip_node_update,
            options,
            indexes: Indexes::default(),
        }
    }

    /// As the endpoints take it.
    pub fn into_registration(self) -> Registration {
        Registration {
            node: Node {
                id: self.id,
                node: self.node,
                address: self.address,
                datacenter: self.datacenter,
                tagged_addresses: self.tagged_addresses,
                meta: self.node_meta,
            },
            skip_node_update: self.skip_node_update,
            service: self.service,
            checks: self.checks.into_iter().chain(self.check).collect(),
        }
    }
}

methods! {
    /// Adds or updates a node, a service, checks.
    Register = "Catalog.Register", Write, RegisterRequest => ();
    /// Removes; what is not there is fine.
    Deregister = "Catalog.Deregister", Write, DeregisterRequest => ();
    /// Known datacenters by distance.
    ListDatacenters = "Catalog.ListDatacenters", Read, DatacentersRead => Vec<Datacenter>;
    /// All nodes.
    ListNodes = "Catalog.ListNodes", Read, DatacenterRead => Nodes;
    /// All services with their tags.
    ListServices = "Catalog.ListServices", Read, DatacenterRead => Services;
    /// All services.
    ListServiceNames = "Catalog.ServiceList", Read, DatacenterRead => ServiceList;
    /// Where a service is.
    ListServiceNodes = "Catalog.ServiceNodes", Read, ServiceRead => ServiceNodes;
    /// A node and its services, by id.
    ReadNodeServices = "Catalog.NodeServices", Read, NodeRead => NodeServices;
    /// A node and its services, as a list; what an agent compares itself with.
    ListNodeServices = "Catalog.NodeServiceList", Read, NodeRead => NodeServiceList;
}
