//! What can be filtered, by the field names that JSON shows. Indexes and check definitions are no fields here, as in
//! Consul.

use std::borrow::Cow;

use crs_store::{Instance, Stored};
use crs_types::{HealthCheck, Node, NodeService, ServiceAddress, Weights};
use serde_json::Value as Json;

use super::{Record, Value};

fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Text(Cow::Borrowed(text)))
}

impl Record for Node {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "ID" => text(self.id.as_str()),
            "Node" => text(self.node.as_str()),
            "Address" => text(&self.address),
            "Datacenter" => text(self.datacenter.as_str()),
            "TaggedAddresses" => Some(Value::Pairs(self.tagged_addresses.as_ref())),
            "Meta" => Some(Value::Pairs(self.meta.as_ref())),
            _ => None,
        }
    }
}

impl Record for NodeService {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Kind" => text(&self.kind),
            "ID" => text(self.id.as_str()),
            "Service" => text(self.service.as_str()),
            "Tags" => Some(Value::Texts(&self.tags)),
            "Address" => text(&self.address),
            "TaggedAddresses" => Some(Value::Addresses(&self.tagged_addresses)),
            "Meta" => Some(Value::Pairs(self.meta.as_ref())),
            "Port" => Some(Value::Int(self.port)),
            "Weights" => Some(Value::Record(Box::new(self.weights))),
            "EnableTagOverride" => Some(Value::Bool(self.enable_tag_override)),
            "Proxy" => Some(json_record(&self.proxy, PROXY)),
            "Connect" => Some(json_record(&self.connect, CONNECT)),
            _ => None,
        }
    }
}

impl Record for HealthCheck {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Node" => text(self.node.as_str()),
            "CheckID" => text(self.check_id.as_str()),
            "Name" => text(&self.name),
            "Status" => text(self.status.as_str()),
            "Notes" => text(&self.notes),
            "Output" => text(&self.output),
            "ServiceID" => text(self.service_id.as_str()),
            "ServiceName" => text(self.service_name.as_str()),
            "ServiceTags" => Some(Value::Texts(&self.service_tags)),
            "Type" => text(&self.kind),
            _ => None,
        }
    }
}

impl Record for Weights {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Passing" => Some(Value::Int(self.passing)),
            "Warning" => Some(Value::Int(self.warning)),
            _ => None,
        }
    }
}

impl Record for ServiceAddress {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Address" => text(&self.address),
            "Port" => Some(Value::Int(self.port)),
            _ => None,
        }
    }
}

impl<R: Record + ?Sized> Record for &R {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        (**self).field(name)
    }
}

impl<R: Record> Record for Stored<R> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        self.value.field(name)
    }
}

/// An entry of `catalog/service`.
pub(crate) struct CatalogService<'a> {
    pub(crate) node: &'a Node,
    pub(crate) service: &'a NodeService,
}

impl Record for CatalogService<'_> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "NodeMeta" => self.node.field("Meta"),
            "ServiceName" => self.service.field("Service"),
            // Node fields have no prefix, and the node's meta another name.
            "Meta" => None,
            _ => match name.strip_prefix("Service") {
                Some("Service" | "") => None,
                Some(field) => self.service.field(field),
                None => self.node.field(name),
            },
        }
    }
}

/// An entry of `health/service`.
pub(crate) struct ServiceHealth<'a>(pub(crate) &'a Instance);

impl Record for ServiceHealth<'_> {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Node" => Some(Value::Record(Box::new(&self.0.node.value))),
            "Service" => Some(Value::Record(Box::new(&self.0.service.value))),
            "Checks" => {
                let checks = self.0.checks.iter().map(|check| Box::new(&check.value) as Box<dyn Record + '_>);
                Some(Value::Records(checks.collect(), Box::new(HealthCheck::default())))
            }
            _ => None,
        }
    }
}

/// The fields of a part that is kept as JSON.
type Shape = &'static [(&'static str, Kind)];

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Int,
    Bool,
    Object(Shape),
    List(Shape),
}

const MESH_GATEWAY: Shape = &[("Mode", Kind::Text)];
const UPSTREAM: Shape = &[
    ("DestinationType", Kind::Text),
    ("DestinationNamespace", Kind::Text),
    ("DestinationName", Kind::Text),
    ("Datacenter", Kind::Text),
    ("LocalBindAddress", Kind::Text),
    ("LocalBindPort", Kind::Int),
    ("MeshGateway", Kind::Object(MESH_GATEWAY)),
];
const EXPOSE_PATH: Shape = &[
    ("ListenerPort", Kind::Int),
    ("Path", Kind::Text),
    ("LocalPathPort", Kind::Int),
    ("Protocol", Kind::Text),
    ("ParsedFromCheck", Kind::Bool),
];
const EXPOSE: Shape = &[("Checks", Kind::Bool), ("Paths", Kind::List(EXPOSE_PATH))];
const PROXY: Shape = &[
    ("DestinationServiceName", Kind::Text),
    ("DestinationServiceID", Kind::Text),
    ("LocalServiceAddress", Kind::Text),
    ("LocalServicePort", Kind::Int),
    ("Upstreams", Kind::List(UPSTREAM)),
    ("MeshGateway", Kind::Object(MESH_GATEWAY)),
    ("Expose", Kind::Object(EXPOSE)),
];
const CONNECT: Shape = &[("Native", Kind::Bool)];

struct JsonRecord {
    json: Json,
    shape: Shape,
}

fn json_record(json: &str, shape: Shape) -> Value<'_> {
    let json = serde_json::from_str(json).unwrap_or(Json::Null);
    Value::Record(Box::new(JsonRecord { json, shape }))
}

impl Record for JsonRecord {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        let (_, kind) = self.shape.iter().find(|(field, _)| *field == name)?;
        let json = &self.json[name];
        let record =
            |json: &Json, shape| Box::new(JsonRecord { json: json.clone(), shape }) as Box<dyn Record>;
        Some(match *kind {
            Kind::Text => Value::Text(Cow::Borrowed(json.as_str().unwrap_or(""))),
            Kind::Int => Value::Int(json.as_i64().unwrap_or(0)),
            Kind::Bool => Value::Bool(json.as_bool().unwrap_or(false)),
            Kind::Object(shape) => Value::Record(record(json, shape)),
            Kind::List(shape) => {
                let items = json.as_array().map_or(&[][..], Vec::as_slice);
                let items = items.iter().map(|item| record(item, shape)).collect();
                Value::Records(items, record(&Json::Null, shape))
            }
        })
    }
}
