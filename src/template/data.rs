//! The records behind the data functions, and how the server's JSON becomes one.

use std::sync::Arc;

use serde_json::Value as Json;

use crate::dep::Dep;
use crate::value::{Field, ListValue, MapValue, Record, RecordValue, Text, Ty, Value};

/// `[]string` under a name of its own, as an instance's tags are.
pub(crate) static TAGS: Ty = Ty::Named("dependency.ServiceTags", &Ty::Str);
static META: Ty = Ty::Map(&Ty::Str);

/// An instance of a service.
pub(crate) static HEALTH_SERVICE: Record = Record {
    name: "dependency.HealthService",
    fields: &[
        Field::new("Node", Ty::Str),
        Field::new("NodeID", Ty::Str),
        Field::new("NodeAddress", Ty::Str),
        Field::new("NodeTaggedAddresses", META_TY),
        Field::new("NodeMeta", META_TY),
        Field::new("ServiceMeta", META_TY),
        Field::new("Address", Ty::Str),
        Field::new("ID", Ty::Str),
        Field::new("Name", Ty::Str),
        Field::new("Tags", TAGS_TY),
        Field::new("Checks", Ty::Named("api.HealthChecks", &Ty::Ptr(&HEALTH_CHECK))),
        Field::new("Status", Ty::Str),
        Field::new("Port", Ty::Int),
        Field::later("Weights", Ty::Struct(&WEIGHTS)),
        Field::later("ServiceTaggedAddresses", Ty::Map(&Ty::Struct(&SERVICE_ADDRESS))),
        Field::later("NodeDatacenter", Ty::Str),
        Field::later("Kind", Ty::Str),
    ],
};
const META_TY: Ty = Ty::Map(&Ty::Str);
static SERVICE_ADDRESS_TY: Ty = Ty::Struct(&SERVICE_ADDRESS);
static HEALTH_CHECK_PTR: Ty = Ty::Ptr(&HEALTH_CHECK);
const TAGS_TY: Ty = Ty::Named("dependency.ServiceTags", &Ty::Str);

/// A check of an instance or its node.
pub(crate) static HEALTH_CHECK: Record = Record {
    name: "api.HealthCheck",
    fields: &[
        Field::new("Node", Ty::Str),
        Field::new("CheckID", Ty::Str),
        Field::new("Name", Ty::Str),
        Field::new("Status", Ty::Str),
        Field::new("Notes", Ty::Str),
        Field::new("Output", Ty::Str),
        Field::new("ServiceID", Ty::Str),
        Field::new("ServiceName", Ty::Str),
        Field::new("ServiceTags", Ty::List(&Ty::Str)),
        Field::new("Definition", Ty::Struct(&CHECK_DEFINITION)),
        Field::later("Type", Ty::Str),
        Field::later("CreateIndex", Ty::Uint),
        Field::later("ModifyIndex", Ty::Uint),
    ],
};

static CHECK_DEFINITION: Record = Record {
    name: "api.HealthCheckDefinition",
    fields: &[
        Field::new("HTTP", Ty::Str),
        Field::new("Header", Ty::Map(&Ty::List(&Ty::Str))),
        Field::new("Method", Ty::Str),
        Field::new("TLSSkipVerify", Ty::Bool),
        Field::new("TCP", Ty::Str),
        Field::new("Interval", Ty::Str),
        Field::new("Timeout", Ty::Str),
        Field::new("DeregisterCriticalServiceAfter", Ty::Str),
    ],
};

static WEIGHTS: Record = Record {
    name: "api.AgentWeights",
    fields: &[Field::new("Passing", Ty::Int), Field::new("Warning", Ty::Int)],
};

static SERVICE_ADDRESS: Record = Record {
    name: "api.ServiceAddress",
    fields: &[Field::new("Address", Ty::Str), Field::new("Port", Ty::Int)],
};

/// A service by name.
pub(crate) static CATALOG_SNIPPET: Record = Record {
    name: "dependency.CatalogSnippet",
    fields: &[Field::new("Name", Ty::Str), Field::new("Tags", TAGS_TY)],
};

/// A node.
pub(crate) static NODE: Record = Record {
    name: "dependency.Node",
    fields: &[
        Field::new("ID", Ty::Str),
        Field::new("Node", Ty::Str),
        Field::new("Address", Ty::Str),
        Field::new("Datacenter", Ty::Str),
        Field::new("TaggedAddresses", META_TY),
        Field::new("Meta", META_TY),
    ],
};

/// A node with its services.
pub(crate) static CATALOG_NODE: Record = Record {
    name: "dependency.CatalogNode",
    fields: &[
        Field::new("Node", Ty::Ptr(&NODE)),
        Field::new("Services", Ty::List(&Ty::Ptr(&CATALOG_NODE_SERVICE))),
    ],
};

static CATALOG_NODE_SERVICE: Record = Record {
    name: "dependency.CatalogNodeService",
    fields: &[
        Field::new("ID", Ty::Str),
        Field::new("Service", Ty::Str),
        Field::new("Tags", TAGS_TY),
        Field::new("Meta", META_TY),
        Field::new("Port", Ty::Int),
        Field::new("Address", Ty::Str),
        Field::new("EnableTagOverride", Ty::Bool),
    ],
};

/// A key of the store.
pub(crate) static KEY_PAIR: Record = Record {
    name: "dependency.KeyPair",
    fields: &[
        Field::new("Path", Ty::Str),
        Field::new("Key", Ty::Str),
        Field::new("Value", Ty::Str),
        Field::new("CreateIndex", Ty::Uint),
        Field::new("ModifyIndex", Ty::Uint),
        Field::new("LockIndex", Ty::Uint),
        Field::new("Flags", Ty::Uint),
        Field::new("Session", Ty::Str),
    ],
};

/// Elements of lists, for the functions that take or give them.
pub(crate) static HEALTH_SERVICE_PTR: Ty = Ty::Ptr(&HEALTH_SERVICE);
pub(crate) static CATALOG_SNIPPET_PTR: Ty = Ty::Ptr(&CATALOG_SNIPPET);
pub(crate) static KEY_PAIR_PTR: Ty = Ty::Ptr(&KEY_PAIR);
static NODE_PTR: Ty = Ty::Ptr(&NODE);
static CATALOG_NODE_SERVICE_PTR: Ty = Ty::Ptr(&CATALOG_NODE_SERVICE);

/// The server's answer is not of the shape that its query has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the answer to {query} is not what was expected: {reason}")]
pub struct DecodeError {
    /// The query.
    pub query: String,
    /// What is wrong.
    pub reason: String,
}

/// Turns the body of the server's answer into the value that templates see.
///
/// # Errors
/// The body is no JSON or of another shape.
pub fn decode(dep: &Dep, body: &[u8]) -> Result<Value, DecodeError> {
    let error = |reason: String| DecodeError { query: dep.to_string(), reason };
    let json: Json = serde_json::from_slice(body).map_err(|cause| error(cause.to_string()))?;
    let list = || json.as_array().map_or(&[][..], Vec::as_slice);
    let value = match dep {
        Dep::Health(query) => instances(list(), query.near.is_empty()),
        Dep::Services { .. } => {
            let names = json.as_object().ok_or_else(|| error("not an object".to_owned()))?;
            services(names)
        }
        Dep::Nodes { near, .. } => nodes(list(), near.is_empty()),
        Dep::Node { .. } => node(&json),
        Dep::Key { .. } => match list().first() {
            Some(pair) => Value::text(base64_value(pair)),
            None => Value::Nil,
        },
        Dep::Tree { prefix, .. } => pairs(list(), prefix),
        Dep::Datacenters { .. } => {
            let mut names: Vec<&str> = list().iter().filter_map(Json::as_str).collect();
            names.sort_unstable();
            Value::str_list(names)
        }
        Dep::File { .. } | Dep::Env(_) | Dep::Plugin(_) | Dep::Now => {
            return Err(error("not a question for the server".to_owned()));
        }
    };
    Ok(value)
}

fn str_of<'a>(json: &'a Json, name: &str) -> &'a str {
    json.get(name).and_then(Json::as_str).unwrap_or("")
}

fn text_of(json: &Json, name: &str) -> Value {
    Value::text(str_of(json, name))
}

fn int_of(json: &Json, name: &str) -> Value {
    Value::Int(json.get(name).and_then(Json::as_i64).unwrap_or(0))
}

fn uint_of(json: &Json, name: &str) -> Value {
    Value::Uint(json.get(name).and_then(Json::as_u64).unwrap_or(0))
}

fn bool_of(json: &Json, name: &str) -> Value {
    Value::Bool(json.get(name).and_then(Json::as_bool).unwrap_or(false))
}

fn record(record: &'static Record, values: Vec<Value>) -> Arc<RecordValue> {
    debug_assert_eq!(record.fields.len(), values.len(), "{}", record.name);
    Arc::new(RecordValue { record, values })
}

/// A map of texts; `null` stays nil.
fn meta_of(json: &Json, name: &str) -> Value {
    let Some(entries) = json.get(name).and_then(Json::as_object) else { return Value::zero(META) };
    Value::map(
        &Ty::Str,
        entries
            .iter()
            .map(|(key, value)| (Text::from(key.as_str()), Value::text(value.as_str().unwrap_or("")))),
    )
}

/// Tags in the order of their bytes; never nil, as consul-template copies them.
fn tags(json: Option<&Json>) -> Value {
    let mut tags: Vec<&str> = json
        .and_then(Json::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(Json::as_str)
        .collect();
    tags.sort_unstable();
    let items = tags.into_iter().map(Value::text).collect();
    Value::List(Arc::new(ListValue { ty: TAGS, items, nil: false }))
}

fn strings_of(json: &Json, name: &str) -> Value {
    match json.get(name).and_then(Json::as_array) {
        Some(items) => Value::str_list(items.iter().filter_map(Json::as_str)),
        None => Value::zero(Ty::List(&Ty::Str)),
    }
}

/// Node or service maintenance beats critical beats warning.
fn aggregated(checks: &[Json]) -> &'static str {
    let mut worst = "passing";
    for check in checks {
        let id = str_of(check, "CheckID");
        if id == "_node_maintenance"
            || id.starts_with("_service_maintenance:")
            || id == "_service_maintenance"
        {
            return "maintenance";
        }
        match (str_of(check, "Status"), worst) {
            ("critical", _) => worst = "critical",
            ("warning", "passing") => worst = "warning",
            _ => {}
        }
    }
    worst
}

fn duration_of(json: &Json, name: &str) -> Value {
    match json.get(name).and_then(Json::as_str) {
        Some(text) if !text.is_empty() => Value::text(text),
        _ => Value::text("0s"),
    }
}

fn check(json: &Json) -> Value {
    let empty = Json::Null;
    let definition = json.get("Definition").unwrap_or(&empty);
    let header = match definition.get("Header").and_then(Json::as_object) {
        Some(entries) => Value::map(
            &Ty::List(&Ty::Str),
            entries.keys().map(|key| {
                (Text::from(key.as_str()), strings_of(definition.get("Header").unwrap_or(&empty), key))
            }),
        ),
        None => Value::zero(Ty::Map(&Ty::List(&Ty::Str))),
    };
    let definition = record(
        &CHECK_DEFINITION,
        vec![
            text_of(definition, "HTTP"),
            header,
            text_of(definition, "Method"),
            bool_of(definition, "TLSSkipVerify"),
            text_of(definition, "TCP"),
            duration_of(definition, "Interval"),
            duration_of(definition, "Timeout"),
            duration_of(definition, "DeregisterCriticalServiceAfter"),
        ],
    );
    Value::Ptr(record(
        &HEALTH_CHECK,
        vec![
            text_of(json, "Node"),
            text_of(json, "CheckID"),
            text_of(json, "Name"),
            text_of(json, "Status"),
            text_of(json, "Notes"),
            text_of(json, "Output"),
            text_of(json, "ServiceID"),
            text_of(json, "ServiceName"),
            strings_of(json, "ServiceTags"),
            Value::Struct(definition),
            text_of(json, "Type"),
            uint_of(json, "CreateIndex"),
            uint_of(json, "ModifyIndex"),
        ],
    ))
}

fn instance(json: &Json) -> Value {
    let empty = Json::Null;
    let (node, service) = (json.get("Node").unwrap_or(&empty), json.get("Service").unwrap_or(&empty));
    let checks = json.get("Checks").and_then(Json::as_array);
    let address = match str_of(service, "Address") {
        "" => text_of(node, "Address"),
        own => Value::text(own),
    };
    let weights = service.get("Weights").unwrap_or(&empty);
    let addresses = match service.get("TaggedAddresses").and_then(Json::as_object) {
        Some(entries) => Value::map(
            &SERVICE_ADDRESS_TY,
            entries.iter().map(|(key, value)| {
                let values = vec![text_of(value, "Address"), int_of(value, "Port")];
                (Text::from(key.as_str()), Value::Struct(record(&SERVICE_ADDRESS, values)))
            }),
        ),
        None => Value::zero(Ty::Map(&SERVICE_ADDRESS_TY)),
    };
    let all = checks.map_or(&[][..], Vec::as_slice);
    let checks_value = Value::List(Arc::new(ListValue {
        ty: Ty::Named("api.HealthChecks", &HEALTH_CHECK_PTR),
        items: all.iter().map(check).collect(),
        nil: checks.is_none(),
    }));
    Value::Ptr(record(
        &HEALTH_SERVICE,
        vec![
            text_of(node, "Node"),
            text_of(node, "ID"),
            text_of(node, "Address"),
            meta_of(node, "TaggedAddresses"),
            meta_of(node, "Meta"),
            meta_of(service, "Meta"),
            address,
            text_of(service, "ID"),
            text_of(service, "Service"),
            tags(service.get("Tags")),
            checks_value,
            Value::text(aggregated(all)),
            int_of(service, "Port"),
            Value::Struct(record(&WEIGHTS, vec![int_of(weights, "Passing"), int_of(weights, "Warning")])),
            addresses,
            text_of(node, "Datacenter"),
            text_of(service, "Kind"),
        ],
    ))
}

/// Sorts by two fields, bytewise.
fn sort_by(items: &mut [Value], first: &str, second: &str) {
    let key = |value: &Value, name: &str| value.get(name.as_bytes()).and_then(Value::as_text).cloned();
    items.sort_by_cached_key(|value| (key(value, first), key(value, second)));
}

fn instances(list: &[Json], sorted: bool) -> Value {
    let mut items: Vec<Value> = list.iter().map(instance).collect();
    if sorted {
        sort_by(&mut items, "Node", "ID");
    }
    Value::list(&HEALTH_SERVICE_PTR, items)
}

fn services(names: &serde_json::Map<String, Json>) -> Value {
    let mut items: Vec<Value> = names
        .iter()
        .map(|(name, list)| {
            Value::Ptr(record(&CATALOG_SNIPPET, vec![Value::text(name.as_str()), tags(Some(list))]))
        })
        .collect();
    sort_by(&mut items, "Name", "Name");
    Value::list(&CATALOG_SNIPPET_PTR, items)
}

fn node_record(json: &Json) -> Value {
    Value::Ptr(record(
        &NODE,
        vec![
            text_of(json, "ID"),
            text_of(json, "Node"),
            text_of(json, "Address"),
            text_of(json, "Datacenter"),
            meta_of(json, "TaggedAddresses"),
            meta_of(json, "Meta"),
        ],
    ))
}

fn nodes(list: &[Json], sorted: bool) -> Value {
    let mut items: Vec<Value> = list.iter().map(node_record).collect();
    if sorted {
        sort_by(&mut items, "Node", "Address");
    }
    Value::list(&NODE_PTR, items)
}

/// An unknown node is a record without a node, as consul-template has it.
fn node(json: &Json) -> Value {
    let found = match json.get("Node") {
        Some(node) if node.is_object() => node_record(node),
        _ => Value::NilPtr(&NODE),
    };
    let mut items: Vec<Value> = json
        .get("Services")
        .and_then(Json::as_object)
        .into_iter()
        .flat_map(serde_json::Map::values)
        .map(|service| {
            let values = vec![
                text_of(service, "ID"),
                text_of(service, "Service"),
                tags(service.get("Tags")),
                meta_of(service, "Meta"),
                int_of(service, "Port"),
                text_of(service, "Address"),
                bool_of(service, "EnableTagOverride"),
            ];
            Value::Ptr(record(&CATALOG_NODE_SERVICE, values))
        })
        .collect();
    sort_by(&mut items, "Service", "ID");
    Value::Ptr(record(&CATALOG_NODE, vec![found, Value::list(&CATALOG_NODE_SERVICE_PTR, items)]))
}

fn base64_value(pair: &Json) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(str_of(pair, "Value")).unwrap_or_default()
}

fn pairs(list: &[Json], prefix: &str) -> Value {
    let items = list
        .iter()
        .map(|pair| {
            let path = str_of(pair, "Key");
            let key = path.strip_prefix(prefix).unwrap_or(path).trim_start_matches('/');
            let values = vec![
                Value::text(path),
                Value::text(key),
                Value::text(base64_value(pair)),
                uint_of(pair, "CreateIndex"),
                uint_of(pair, "ModifyIndex"),
                uint_of(pair, "LockIndex"),
                uint_of(pair, "Flags"),
                text_of(pair, "Session"),
            ];
            Value::Ptr(record(&KEY_PAIR, values))
        })
        .collect();
    Value::list(&KEY_PAIR_PTR, items)
}

/// A list of the same kind with other elements.
pub(crate) fn like(list: &ListValue, items: Vec<Value>) -> Value {
    Value::List(Arc::new(ListValue { ty: list.ty, items, nil: false }))
}

/// A map of lists, as the grouping functions give it.
pub(crate) fn groups(
    elem: &'static Ty,
    groups: std::collections::BTreeMap<crate::value::MapKey, Vec<Value>>,
) -> Value {
    let by_number = matches!(groups.keys().next(), Some(crate::value::MapKey::Int(_)));
    let entries = groups
        .into_iter()
        .map(|(key, items)| (key, Value::List(Arc::new(ListValue { ty: Ty::List(elem), items, nil: false }))))
        .collect();
    let ty = if by_number { Ty::MapInt(&Ty::Any) } else { Ty::Map(&Ty::Any) };
    Value::Map(Arc::new(MapValue { ty, entries, nil: false }))
}
