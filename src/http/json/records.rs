//! The records of the catalog and of the key/value store.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_store::{KvRecord, Stored};
use crs_types::{
    CheckDefinition, CheckId, HealthCheck, Index, KvEntry, Node, NodeService, ServiceAddress, Session,
    SessionBehavior, Weights, format_duration,
};

use super::text::{push_base64, push_bool, push_int, push_list, push_map, push_string, push_uint};

/// `Stored::encoded::<OBJECT>`: the record as an object of its own.
const OBJECT: usize = 0;
/// `Stored::encoded::<FLAT>`: the record's part of an entry of `catalog/service`.
const FLAT: usize = 1;

/// Service-mesh settings of an ordinary service.
const NO_PROXY: &[u8] = br#"{"MeshGateway":{},"Expose":{}}"#;

/// A field: its name with quotes, colon and whatever separates it from the one before.
macro_rules! field {
    ($out:expr, $name:literal) => {
        $out.extend_from_slice($name.as_bytes())
    };
}

fn push_strings(out: &mut Vec<u8>, strings: &[String]) {
    push_list(out, strings, |out, text| push_string(out, text));
}

/// `null` where none was given.
fn push_pairs(out: &mut Vec<u8>, pairs: Option<&BTreeMap<String, String>>) {
    match pairs {
        Some(pairs) => {
            push_map(out, pairs.iter().map(|(k, v)| (k.as_str(), v)), |out, v| push_string(out, v))
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn push_addresses(out: &mut Vec<u8>, addresses: &BTreeMap<String, ServiceAddress>) {
    push_map(out, addresses.iter().map(|(k, v)| (k.as_str(), v)), |out, address| {
        field!(out, r#"{"Address":"#);
        push_string(out, &address.address);
        field!(out, r#","Port":"#);
        push_int(out, address.port);
        out.push(b'}');
    });
}

fn push_weights(out: &mut Vec<u8>, weights: Weights) {
    field!(out, r#"{"Passing":"#);
    push_int(out, weights.passing);
    field!(out, r#","Warning":"#);
    push_int(out, weights.warning);
    out.push(b'}');
}

fn push_proxy(out: &mut Vec<u8>, service: &NodeService) {
    out.extend_from_slice(if service.proxy.is_empty() { NO_PROXY } else { service.proxy.as_bytes() });
}

fn push_connect(out: &mut Vec<u8>, service: &NodeService) {
    out.extend_from_slice(if service.connect.is_empty() { b"{}" } else { service.connect.as_bytes() });
}

fn push_indexes(out: &mut Vec<u8>, create: Index, modify: Index) {
    field!(out, r#","CreateIndex":"#);
    push_uint(out, create.0);
    field!(out, r#","ModifyIndex":"#);
    push_uint(out, modify.0);
    out.push(b'}');
}

fn push_node_fields(out: &mut Vec<u8>, node: &Node) {
    field!(out, r#"{"ID":"#);
    push_string(out, node.id.as_str());
    field!(out, r#","Node":"#);
    push_string(out, node.node.as_str());
    field!(out, r#","Address":"#);
    push_string(out, &node.address);
    field!(out, r#","Datacenter":"#);
    push_string(out, node.datacenter.as_str());
    field!(out, r#","TaggedAddresses":"#);
    push_pairs(out, node.tagged_addresses.as_ref());
}

/// A node.
pub(crate) fn push_node(out: &mut Vec<u8>, node: &Stored<Node>) {
    let bytes = node.encoded::<OBJECT>(|node| {
        let mut out = Vec::with_capacity(256);
        push_node_fields(&mut out, &node.value);
        field!(out, r#","Meta":"#);
        push_pairs(&mut out, node.value.meta.as_ref());
        push_indexes(&mut out, node.create_index, node.modify_index);
        out
    });
    out.extend_from_slice(bytes);
}

/// An instance as an entry of `catalog/service`: node and service in one flat object. The indexes are the service's.
pub(crate) fn push_catalog_service(out: &mut Vec<u8>, node: &Stored<Node>, service: &Stored<NodeService>) {
    let of_node = node.encoded::<FLAT>(|node| {
        let mut out = Vec::with_capacity(256);
        push_node_fields(&mut out, &node.value);
        field!(out, r#","NodeMeta":"#);
        push_pairs(&mut out, node.value.meta.as_ref());
        out
    });
    out.extend_from_slice(of_node);
    let of_service = service.encoded::<FLAT>(|stored| {
        let service = &stored.value;
        let mut out = Vec::with_capacity(384);
        field!(out, r#","ServiceKind":"#);
        push_string(&mut out, &service.kind);
        field!(out, r#","ServiceID":"#);
        push_string(&mut out, service.id.as_str());
        field!(out, r#","ServiceName":"#);
        push_string(&mut out, service.service.as_str());
        field!(out, r#","ServiceTags":"#);
        push_strings(&mut out, &service.tags);
        field!(out, r#","ServiceAddress":"#);
        push_string(&mut out, &service.address);
        if !service.tagged_addresses.is_empty() {
            field!(out, r#","ServiceTaggedAddresses":"#);
            push_addresses(&mut out, &service.tagged_addresses);
        }
        field!(out, r#","ServiceWeights":"#);
        push_weights(&mut out, service.weights);
        field!(out, r#","ServiceMeta":"#);
        // Here, and only here, absent meta shows as an empty object.
        match &service.meta {
            Some(meta) => push_pairs(&mut out, Some(meta)),
            None => out.extend_from_slice(b"{}"),
        }
        field!(out, r#","ServicePort":"#);
        push_int(&mut out, service.port);
        field!(out, r#","ServiceEnableTagOverride":"#);
        push_bool(&mut out, service.enable_tag_override);
        field!(out, r#","ServiceProxy":"#);
        push_proxy(&mut out, service);
        field!(out, r#","ServiceConnect":"#);
        push_connect(&mut out, service);
        push_indexes(&mut out, stored.create_index, stored.modify_index);
        out
    });
    out.extend_from_slice(of_service);
}

/// A service that is in no store (an agent's own), with the indexes it shows.
pub(crate) fn push_service_value(out: &mut Vec<u8>, service: &NodeService, create: Index, modify: Index) {
    out.push(b'{');
    if !service.kind.is_empty() {
        field!(out, r#""Kind":"#);
        push_string(out, &service.kind);
        out.push(b',');
    }
    field!(out, r#""ID":"#);
    push_string(out, service.id.as_str());
    field!(out, r#","Service":"#);
    push_string(out, service.service.as_str());
    field!(out, r#","Tags":"#);
    push_strings(out, &service.tags);
    field!(out, r#","Address":"#);
    push_string(out, &service.address);
    if !service.tagged_addresses.is_empty() {
        field!(out, r#","TaggedAddresses":"#);
        push_addresses(out, &service.tagged_addresses);
    }
    field!(out, r#","Meta":"#);
    push_pairs(out, service.meta.as_ref());
    field!(out, r#","Port":"#);
    push_int(out, service.port);
    field!(out, r#","Weights":"#);
    push_weights(out, service.weights);
    field!(out, r#","EnableTagOverride":"#);
    push_bool(out, service.enable_tag_override);
    field!(out, r#","Proxy":"#);
    push_proxy(out, service);
    field!(out, r#","Connect":"#);
    push_connect(out, service);
    push_indexes(out, create, modify);
}

/// A service under its node or in `health/service`.
pub(crate) fn push_service(out: &mut Vec<u8>, service: &Stored<NodeService>) {
    let bytes = service.encoded::<OBJECT>(|service| {
        let mut out = Vec::with_capacity(384);
        push_service_value(&mut out, &service.value, service.create_index, service.modify_index);
        out
    });
    out.extend_from_slice(bytes);
}

fn push_definition(out: &mut Vec<u8>, definition: &CheckDefinition) {
    out.push(b'{');
    let from = out.len();
    let mut field = |name: &str, push: &dyn Fn(&mut Vec<u8>)| {
        if out.len() > from {
            out.push(b',');
        }
        push_string(out, name);
        out.push(b':');
        push(out);
    };
    let durations = [
        ("Interval", definition.interval),
        ("Timeout", definition.timeout),
        ("DeregisterCriticalServiceAfter", definition.deregister_critical_service_after),
    ];
    for (name, duration) in durations {
        if duration != Duration::ZERO {
            field(name, &|out| push_string(out, &format_duration(duration)));
        }
    }
    let mut text = |name: &str, text: &str| {
        if !text.is_empty() {
            field(name, &|out| push_string(out, text));
        }
    };
    text("HTTP", &definition.http);
    if definition.tls_skip_verify {
        field("TLSSkipVerify", &|out| push_bool(out, true));
    }
    if !definition.header.is_empty() {
        field("Header", &|out| {
            let header = definition.header.iter().map(|(name, values)| (name.as_str(), values));
            push_map(out, header, |out, values| push_strings(out, values));
        });
    }
    let mut text = |name: &str, text: &str| {
        if !text.is_empty() {
            field(name, &|out| push_string(out, text));
        }
    };
    text("Method", &definition.method);
    text("Body", &definition.body);
    text("TCP", &definition.tcp);
    out.push(b'}');
}

/// A check.
pub(crate) fn push_check(out: &mut Vec<u8>, check: &Stored<HealthCheck>) {
    let bytes = check.encoded::<OBJECT>(|check| {
        let mut out = Vec::with_capacity(384);
        push_check_value(&mut out, &check.value, check.create_index, check.modify_index);
        out
    });
    out.extend_from_slice(bytes);
}

/// A check that is in no store (an agent's own), with the indexes it shows.
pub(crate) fn push_check_value(out: &mut Vec<u8>, check: &HealthCheck, create: Index, modify: Index) {
    field!(out, r#"{"Node":"#);
    push_string(out, check.node.as_str());
    field!(out, r#","CheckID":"#);
    push_string(out, check.check_id.as_str());
    field!(out, r#","Name":"#);
    push_string(out, &check.name);
    field!(out, r#","Status":"#);
    push_string(out, check.status.as_str());
    field!(out, r#","Notes":"#);
    push_string(out, &check.notes);
    field!(out, r#","Output":"#);
    push_string(out, &check.output);
    field!(out, r#","ServiceID":"#);
    push_string(out, check.service_id.as_str());
    field!(out, r#","ServiceName":"#);
    push_string(out, check.service_name.as_str());
    field!(out, r#","ServiceTags":"#);
    push_strings(out, &check.service_tags);
    field!(out, r#","Type":"#);
    push_string(out, &check.kind);
    field!(out, r#","Definition":"#);
    push_definition(out, &check.definition);
    push_indexes(out, create, modify);
}

/// A key with its value.
pub(crate) fn push_kv(out: &mut Vec<u8>, record: &KvRecord) {
    record.append_encoded(out, push_kv_entry);
}

/// A key with its value, outside of the store.
pub(crate) fn push_kv_entry(entry: &KvEntry, out: &mut Vec<u8>) {
    out.reserve(entry.key.len() + entry.value.len() * 4 / 3 + 128);
    field!(out, r#"{"LockIndex":"#);
    push_uint(out, entry.lock_index);
    field!(out, r#","Key":"#);
    push_string(out, &entry.key);
    field!(out, r#","Flags":"#);
    push_uint(out, entry.flags);
    field!(out, r#","Value":"#);
    push_base64(out, &entry.value);
    if let Some(session) = &entry.session {
        field!(out, r#","Session":"#);
        push_string(out, session.as_str());
    }
    push_indexes(out, entry.create_index, entry.modify_index);
}

/// A session.
pub(crate) fn push_session(out: &mut Vec<u8>, session: &Stored<Session>) {
    let bytes = session.encoded::<OBJECT>(|stored| {
        let session = &stored.value;
        let mut out = Vec::with_capacity(256);
        field!(out, r#"{"ID":"#);
        push_string(&mut out, session.id.as_str());
        field!(out, r#","Name":"#);
        push_string(&mut out, &session.name);
        field!(out, r#","Node":"#);
        push_string(&mut out, session.node.as_str());
        field!(out, r#","LockDelay":"#);
        push_uint(&mut out, u64::try_from(session.lock_delay.as_nanos()).unwrap_or(u64::MAX));
        field!(out, r#","Behavior":"#);
        push_string(
            &mut out,
            match session.behavior {
                SessionBehavior::Release => "release",
                SessionBehavior::Delete => "delete",
            },
        );
        field!(out, r#","TTL":"#);
        push_string(&mut out, &session.ttl);
        field!(out, r#","NodeChecks":"#);
        push_checks(&mut out, session.node_checks.as_deref(), |out, id| push_string(out, id.as_str()));
        field!(out, r#","ServiceChecks":"#);
        push_checks(&mut out, session.service_checks.as_deref(), |out, id| {
            field!(out, r#"{"ID":"#);
            push_string(out, id.as_str());
            field!(out, r#","Namespace":""}"#);
        });
        push_indexes(&mut out, stored.create_index, stored.modify_index);
        out
    });
    out.extend_from_slice(bytes);
}

/// `null` where none were given.
fn push_checks(out: &mut Vec<u8>, checks: Option<&[CheckId]>, push: impl FnMut(&mut Vec<u8>, &CheckId)) {
    match checks {
        Some(checks) => push_list(out, checks, push),
        None => out.extend_from_slice(b"null"),
    }
}
