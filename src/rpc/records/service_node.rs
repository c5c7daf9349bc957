//! The row of `Catalog.ServiceNodes`: node and service in one flat struct.

use std::sync::Arc;

use crs_store::{Instance, Stored};
use crs_types::{Node, NodeService};

use super::service_mesh::{CONNECT, PROXY, Settings};
use super::{Indexes, Sparse, put_struct, take_struct};
use crate::codec::{DecodeError, Decoder, Encoder, Wire};

/// An instance of a service without its checks. The indexes of the row are the service's; the node's do not travel
/// and are zero when it is read.
#[derive(Clone, Debug)]
pub struct ServiceNode {
    /// Where it runs.
    pub node: Arc<Stored<Node>>,
    /// The instance.
    pub service: Arc<Stored<NodeService>>,
}

impl From<&Instance> for ServiceNode {
    fn from(instance: &Instance) -> Self {
        ServiceNode { node: instance.node.clone(), service: instance.service.clone() }
    }
}

impl From<ServiceNode> for Instance {
    fn from(row: ServiceNode) -> Self {
        Instance { node: row.node, service: row.service, checks: Arc::from([]) }
    }
}

impl Wire for ServiceNode {
    fn put(&self, out: &mut Encoder) {
        let (node, service) = (&self.node.value, &self.service.value);
        put_struct!(out;
            "Address" => node.address,
            "CreateIndex" => self.service.create_index,
            "Datacenter" => node.datacenter,
            "ID" => node.id,
            "ModifyIndex" => self.service.modify_index,
            "Node" => node.node,
            "NodeMeta" => node.meta,
            "ServiceAddress" => service.address,
            "ServiceConnect" => Settings(&CONNECT, &service.connect),
            "ServiceEnableTagOverride" => service.enable_tag_override,
            "ServiceID" => service.id,
            "ServiceKind" => service.kind,
            "ServiceMeta" => service.meta,
            "ServiceName" => service.service,
            "ServicePort" => service.port,
            "ServiceProxy" => Settings(&PROXY, &service.proxy),
            "ServiceTaggedAddresses" => Sparse(&service.tagged_addresses),
            "ServiceTags" => service.tags,
            "ServiceWeights" => service.weights,
            "TaggedAddresses" => node.tagged_addresses,
        );
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.charge::<(Stored<Node>, Stored<NodeService>)>()?;
        let (mut node, mut service) = (Node::default(), NodeService::default());
        let mut indexes = Indexes::default();
        take_struct(input, |name, input| {
            match name {
                b"Address" => node.address = Wire::take(input)?,
                b"Datacenter" => node.datacenter = Wire::take(input)?,
                b"ID" => node.id = Wire::take(input)?,
                b"Node" => node.node = Wire::take(input)?,
                b"NodeMeta" => node.meta = Wire::take(input)?,
                b"ServiceAddress" => service.address = Wire::take(input)?,
                b"ServiceConnect" => service.connect = CONNECT.take(input)?,
                b"ServiceEnableTagOverride" => service.enable_tag_override = Wire::take(input)?,
                b"ServiceID" => service.id = Wire::take(input)?,
                b"ServiceKind" => service.kind = Wire::take(input)?,
                b"ServiceMeta" => service.meta = Wire::take(input)?,
                b"ServiceName" => service.service = Wire::take(input)?,
                b"ServicePort" => service.port = Wire::take(input)?,
                b"ServiceProxy" => service.proxy = PROXY.take(input)?,
                b"ServiceTaggedAddresses" => service.tagged_addresses = Wire::take(input)?,
                b"ServiceTags" => service.tags = Wire::take(input)?,
                b"ServiceWeights" => service.weights = Wire::take(input)?,
                b"TaggedAddresses" => node.tagged_addresses = Wire::take(input)?,
                _ => return indexes.take(name, input),
            }
            Ok(true)
        })?;
        let node = Arc::new(Stored::new(node, Default::default(), Default::default()));
        let service = Arc::new(Stored::new(service, indexes.create, indexes.modify));
        Ok(ServiceNode { node, service })
    }
}
