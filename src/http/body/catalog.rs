//! `catalog/register` and `catalog/deregister`.

use std::time::Duration;

use crs_server::Deregistration;
use crs_store::Registration;
use crs_types::{CheckDefinition, CheckStatus, HealthCheck, Index, NodeService, ServiceAddress, Weights};

use super::decode::{Decoder, Unknown};
use super::syntax::Json;
use super::{decoded, mesh};
use crate::error::Failure;

/// A registration and where it belongs.
pub(crate) struct RegisterRequest {
    /// Empty: the agent's own.
    pub(crate) datacenter: String,
    pub(crate) registration: Registration,
}

/// A deregistration and where it belongs.
pub(crate) struct DeregisterRequest {
    /// Empty: the agent's own.
    pub(crate) datacenter: String,
    pub(crate) what: Deregistration,
}

const REGISTER: [&str; 13] = [
    "Datacenter",
    "ID",
    "Node",
    "Address",
    "TaggedAddresses",
    "NodeMeta",
    "Service",
    "Check",
    "Checks",
    "SkipNodeUpdate",
    "CreateIndex",
    "ModifyIndex",
    "Namespace",
];

/// Reads the body of `catalog/register`.
///
/// # Errors
/// Consul's text: 400 where it cannot be read, 500 where its service is none.
pub(crate) fn registration(bytes: &[u8]) -> Result<RegisterRequest, Failure> {
    let request = decoded(bytes, |d, json| {
        let mut datacenter = String::new();
        let mut registration = Registration::default();
        let mut checks = Vec::new();
        let node = &mut registration.node;
        let service = &mut registration.service;
        let skip = &mut registration.skip_node_update;
        let name = ("RegisterRequest", "structs.RegisterRequest");
        d.fields(json, name, &REGISTER, Unknown::Refuse, |d, field, json| match field {
            "Datacenter" => datacenter = d.string(json),
            "ID" => node.id = d.string(json).to_lowercase().into(),
            "Node" => node.node = d.string(json).into(),
            "Address" => node.address = d.string(json),
            "TaggedAddresses" => node.tagged_addresses = d.pairs(json),
            "NodeMeta" => node.meta = d.pairs(json),
            "Service" => *service = (*json != Json::Null).then(|| node_service(d, json).0),
            "Check" if *json != Json::Null => checks.insert(0, typed_check(d, json)),
            "Checks" => checks.extend(d.list(json, "structs.HealthChecks", typed_check)),
            "SkipNodeUpdate" => *skip = d.bool(json),
            "Namespace" => no_namespace(d),
            _ => {}
        });
        registration.checks = checks;
        RegisterRequest { datacenter, registration }
    })?;
    if let Some(service) = &request.registration.service {
        mesh::validate(service).map_err(Failure::refused)?;
    }
    Ok(request)
}

/// Reads the body of `catalog/deregister`.
///
/// # Errors
/// Consul's text, 400.
pub(crate) fn deregistration(bytes: &[u8]) -> Result<DeregisterRequest, Failure> {
    const FIELDS: [&str; 6] = ["Datacenter", "Node", "Address", "ServiceID", "CheckID", "Namespace"];
    decoded(bytes, |d, json| {
        let mut datacenter = String::new();
        let mut what = Deregistration::default();
        let name = ("", "structs.DeregisterRequest");
        d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| match field {
            "Datacenter" => datacenter = d.string(json),
            "Node" => what.node = d.string(json).into(),
            "Address" => _ = d.string(json),
            "ServiceID" => what.service_id = d.string(json).into(),
            "CheckID" => what.check_id = d.string(json).into(),
            _ => no_namespace(d),
        });
        DeregisterRequest { datacenter, what }
    })
}

fn no_namespace(d: &mut Decoder) {
    d.fail("json: unknown field \"Namespace\" - Namespaces are a Consul Enterprise feature".to_owned());
}

/// A service and the modify index that came with it.
pub(super) fn node_service(d: &mut Decoder, json: &Json) -> (NodeService, Index) {
    const FIELDS: [&str; 15] = [
        "Kind",
        "ID",
        "Service",
        "Tags",
        "Address",
        "TaggedAddresses",
        "Meta",
        "Port",
        "Weights",
        "EnableTagOverride",
        "Proxy",
        "Connect",
        "CreateIndex",
        "ModifyIndex",
        "Namespace",
    ];
    let (mut service, mut index) = (NodeService::default(), Index::ZERO);
    let name = ("NodeService", "structs.NodeService");
    d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| match field {
        "Kind" => service.kind = d.string(json),
        "ID" => service.id = d.string(json).into(),
        "Service" => service.service = d.string(json).into(),
        "Tags" => service.tags = d.strings(json),
        "Address" => service.address = d.string(json),
        "TaggedAddresses" => service.tagged_addresses = service_addresses(d, json),
        "Meta" => service.meta = d.pairs(json),
        "Port" => service.port = d.int(json),
        // What is no weight counts as none given: the catalog does not refuse it, unlike the agent.
        "Weights" => {
            let given = weights(d, json).filter(|weights| weights.passing >= 1 && weights.warning >= 0);
            service.weights = given.unwrap_or_default();
        }
        "EnableTagOverride" => service.enable_tag_override = d.bool(json),
        "Proxy" => service.proxy = mesh::proxy(d, json),
        "Connect" => service.connect = mesh::connect(d, json).0,
        "ModifyIndex" => index = d.index(json),
        "Namespace" => no_namespace(d),
        _ => {}
    });
    (service, index)
}

/// `None` for null.
pub(super) fn weights(d: &mut Decoder, json: &Json) -> Option<Weights> {
    if *json == Json::Null {
        return None;
    }
    let mut weights = Weights { passing: 0, warning: 0 };
    let name = ("Weights", "structs.Weights");
    d.fields(json, name, &["Passing", "Warning"], Unknown::Refuse, |d, field, json| match field {
        "Passing" => weights.passing = d.int(json),
        _ => weights.warning = d.int(json),
    });
    Some(weights)
}

pub(super) fn service_addresses(
    d: &mut Decoder,
    json: &Json,
) -> std::collections::BTreeMap<String, ServiceAddress> {
    let addresses = d.map(json, "map[string]structs.ServiceAddress", |d, json| {
        let mut address = ServiceAddress::default();
        let name = ("ServiceAddress", "structs.ServiceAddress");
        d.fields(json, name, &["Address", "Port"], Unknown::Refuse, |d, field, json| match field {
            "Address" => address.address = d.string(json),
            _ => address.port = d.int(json),
        });
        address
    });
    addresses.unwrap_or_default()
}

/// A check of a registration: one that says how it runs need not say what kind that is.
fn typed_check(d: &mut Decoder, json: &Json) -> HealthCheck {
    let (mut check, _) = health_check(d, json);
    if check.kind.is_empty() && check.definition.interval > Duration::ZERO {
        let kind = match &check.definition {
            definition if !definition.http.is_empty() => "http",
            definition if !definition.tcp.is_empty() => "tcp",
            _ => "",
        };
        check.kind = kind.to_owned();
    }
    check
}

/// A check and the modify index that came with it.
pub(super) fn health_check(d: &mut Decoder, json: &Json) -> (HealthCheck, Index) {
    const FIELDS: [&str; 14] = [
        "Node",
        "CheckID",
        "Name",
        "Status",
        "Notes",
        "Output",
        "ServiceID",
        "ServiceName",
        "ServiceTags",
        "Type",
        "Definition",
        "CreateIndex",
        "ModifyIndex",
        "Namespace",
    ];
    let (mut check, mut index) = (HealthCheck::default(), Index::ZERO);
    let name = ("HealthCheck", "structs.HealthCheck");
    d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| match field {
        "Node" => check.node = d.string(json).into(),
        "CheckID" => check.check_id = d.string(json).into(),
        "Name" => check.name = d.string(json),
        "Status" => {
            let status = d.string(json);
            // The catalog keeps any word; none at all is critical.
            if !status.is_empty() {
                check.status = CheckStatus::from(status.as_str());
            }
        }
        "Notes" => check.notes = d.string(json),
        "Output" => check.output = d.string(json),
        "ServiceID" => check.service_id = d.string(json).into(),
        "ServiceName" => check.service_name = d.string(json).into(),
        "ServiceTags" => check.service_tags = d.strings(json),
        "Type" => check.kind = d.string(json),
        "Definition" => d.opaquely(|d| check.definition = check_definition(d, json)),
        "ModifyIndex" => index = d.index(json),
        "Namespace" => no_namespace(d),
        _ => {}
    });
    (check, index)
}

/// The one struct whose unknown fields nobody minds.
fn check_definition(d: &mut Decoder, json: &Json) -> CheckDefinition {
    const FIELDS: [&str; 12] = [
        "HTTP",
        "TLSSkipVerify",
        "Header",
        "Method",
        "Body",
        "TCP",
        "Interval",
        "Timeout",
        "DeregisterCriticalServiceAfter",
        "IntervalDuration",
        "TimeoutDuration",
        "DeregisterCriticalServiceAfterDuration",
    ];
    let mut definition = CheckDefinition::default();
    let name = ("", "structs.HealthCheckDefinition");
    d.fields(json, name, &FIELDS, Unknown::Ignore, |d, field, json| match field {
        "HTTP" => definition.http = d.string(json),
        "TLSSkipVerify" => definition.tls_skip_verify = d.bool(json),
        "Header" => definition.header = header(d, json),
        "Method" => definition.method = d.string(json),
        "Body" => definition.body = d.string(json),
        "TCP" => definition.tcp = d.string(json),
        "Interval" | "IntervalDuration" => definition.interval = d.duration(json),
        "Timeout" | "TimeoutDuration" => definition.timeout = d.duration(json),
        _ => definition.deregister_critical_service_after = d.duration(json),
    });
    definition
}

pub(super) fn header(d: &mut Decoder, json: &Json) -> std::collections::BTreeMap<String, Vec<String>> {
    d.map(json, "map[string][]string", Decoder::strings).unwrap_or_default()
}
