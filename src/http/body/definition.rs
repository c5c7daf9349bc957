//! `agent/service/register` and `agent/check/register`: what a client defines, validated as Consul validates it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crs_types::{
    CheckId, CheckKind, CheckSpec, CheckStatus, NodeService, Secret, ServiceId, ServiceSpec, Weights,
};

use super::catalog::{header, service_addresses, weights};
use super::decode::{Decoder, Unknown};
use super::syntax::Json;
use super::{decoded, mesh};
use crate::error::Failure;

/// Reads and validates the body of `agent/service/register`. Ids are filled in.
///
/// # Errors
/// Consul's texts, 400.
pub fn service_definition(bytes: &[u8]) -> Result<ServiceSpec, Failure> {
    const FIELDS: [&str; 17] = [
        "Kind",
        "ID",
        "Name",
        "Tags",
        "Address",
        "TaggedAddresses",
        "Meta",
        "Port",
        "Check",
        "Checks",
        "Weights",
        "Token",
        "EnableTagOverride",
        "Proxy",
        "Connect",
        "enable_tag_override",
        "tagged_addresses",
    ];
    let (mut spec, single, many, weights, sidecar) = decoded(bytes, |d, json| {
        let mut spec = ServiceSpec::default();
        let (mut single, mut many, mut given_weights, mut sidecar) =
            (CheckBody::default(), Vec::new(), None, false);
        let name = ("", "structs.ServiceDefinition");
        d.fields(json, name, &FIELDS, Unknown::Refuse, |d, field, json| match field {
            "Kind" => spec.kind = d.string(json),
            "ID" => spec.id = d.string(json).into(),
            "Name" => spec.name = d.string(json).into(),
            "Tags" => spec.tags = d.strings(json),
            "Address" => spec.address = d.string(json),
            "TaggedAddresses" | "tagged_addresses" => spec.tagged_addresses = service_addresses(d, json),
            "Meta" => spec.meta = d.pairs(json),
            "Port" => spec.port = d.int(json),
            "Check" => d.opaquely(|d| single = check_body(d, json, &SERVICE_CHECK)),
            "Checks" => {
                many = d.list(json, "structs.CheckTypes", |d, json| {
                    let mut check = CheckBody::default();
                    d.opaquely(|d| check = check_body(d, json, &SERVICE_CHECK));
                    check
                });
            }
            "Weights" => given_weights = weights(d, json),
            "Token" => spec.token = Secret::new(d.string(json)),
            "EnableTagOverride" | "enable_tag_override" => spec.enable_tag_override = d.bool(json),
            "Proxy" => spec.proxy = mesh::proxy(d, json),
            _ => (spec.connect, sidecar) = mesh::connect(d, json),
        });
        (spec, single, many, given_weights, sidecar)
    })?;
    if spec.name.is_empty() {
        return Err(Failure::bad_request("Missing service name"));
    }
    if is_any_address(&spec.address) {
        return Err(Failure::bad_request("Invalid service address"));
    }
    if let Some(weights) = weights {
        validate_weights(weights).map_err(|why| Failure::bad_request(format!("Invalid Weights: {why}")))?;
        spec.weights = weights;
    }
    if let Some(meta) = &spec.meta {
        validate_meta(meta).map_err(|why| Failure::bad_request(format!("Invalid Service Meta: {why}")))?;
    }
    let as_record = NodeService {
        kind: spec.kind.clone(),
        port: spec.port,
        proxy: spec.proxy.clone(),
        connect: spec.connect.clone(),
        ..NodeService::default()
    };
    mesh::validate(&as_record).map_err(Failure::bad_request)?;
    if sidecar {
        return Err(Failure::bad_request(
            "Invalid Connect: sidecar services belong to the service mesh, which is not part of crs",
        ));
    }
    if spec.id.is_empty() {
        spec.id = ServiceId::from(spec.name.as_str());
    }
    let bodies = (single != CheckBody::default()).then_some(single).into_iter().chain(many);
    let mut checks = bodies.map(CheckBody::into_spec).collect::<Result<Vec<_>, _>>()?;
    if checks.iter().any(|check| matches!(&check.status, Some(CheckStatus::Other(_)))) {
        return Err(Failure::bad_request("Status for checks must 'passing', 'warning', 'critical'"));
    }
    let several = checks.len() > 1;
    for (at, check) in checks.iter_mut().enumerate() {
        check.service_id = spec.id.clone();
        if check.id.is_empty() {
            let number = if several { format!(":{}", at + 1) } else { String::new() };
            check.id = CheckId::from(format!("service:{}{number}", spec.id));
        }
        if check.name.is_empty() {
            check.name = format!("Service '{}' check", spec.name);
        }
    }
    spec.checks = checks;
    Ok(spec)
}

/// Reads and validates the body of `agent/check/register`. The id is filled in.
///
/// # Errors
/// Consul's texts, 400.
pub fn check_definition(bytes: &[u8]) -> Result<CheckSpec, Failure> {
    let body = decoded(bytes, |d, json| check_body(d, json, &AGENT_CHECK))?;
    if body.name.is_empty() {
        return Err(Failure::bad_request("Missing check name"));
    }
    let mut spec = body.into_spec_saying("Bad check status")?;
    if spec.id.is_empty() {
        spec.id = CheckId::from(spec.name.as_str());
    }
    Ok(spec)
}

/// Reads the body of `agent/check/update`: status and output, as they were given.
///
/// # Errors
/// Consul's texts, 400.
pub(crate) fn check_update(bytes: &[u8]) -> Result<(String, String), Failure> {
    decoded(bytes, |d, json| {
        let (mut status, mut output) = (String::new(), String::new());
        let name = ("", "agent.checkUpdate");
        d.fields(json, name, &["Status", "Output"], Unknown::Refuse, |d, field, json| match field {
            "Status" => status = d.string(json),
            _ => output = d.string(json),
        });
        (status, output)
    })
}

/// A check as it was written, before its kind is known.
#[derive(Debug, Default, PartialEq)]
struct CheckBody {
    id: String,
    name: String,
    status: String,
    notes: String,
    service_id: String,
    token: Secret<String>,
    args: Vec<String>,
    http: String,
    header: BTreeMap<String, Vec<String>>,
    method: String,
    body: String,
    tcp: String,
    interval: Duration,
    alias_node: String,
    alias_service: String,
    docker_container_id: String,
    shell: String,
    grpc: String,
    grpc_use_tls: bool,
    tls_skip_verify: bool,
    timeout: Duration,
    ttl: Duration,
    success_before_passing: i64,
    failures_before_critical: i64,
    deregister_after: Duration,
    output_max_size: i64,
    /// A negative duration was given: it counts as zero, but not as if nothing had been said.
    has_negative: bool,
}

/// The fields of a check, and how each of the two bodies calls its id.
struct CheckShape {
    go_type: &'static str,
    fields: &'static [&'static str],
}

macro_rules! check_fields {
    ($($own:literal),*) => {
        &[
            $($own,)*
            "Name", "Status", "Notes", "ServiceID", "service_id", "ScriptArgs", "Args", "script_args", "HTTP",
            "Header", "Method", "Body", "TCP", "Interval", "AliasNode", "AliasService", "DockerContainerID",
            "docker_container_id", "Shell", "GRPC", "GRPCUseTLS", "TLSSkipVerify", "tls_skip_verify", "Timeout",
            "TTL", "SuccessBeforePassing", "FailuresBeforeCritical", "DeregisterCriticalServiceAfter",
            "deregister_critical_service_after", "OutputMaxSize",
        ]
    };
}

static SERVICE_CHECK: CheckShape =
    CheckShape { go_type: "structs.CheckType", fields: check_fields!["CheckID", "ProxyHTTP", "ProxyGRPC"] };
static AGENT_CHECK: CheckShape =
    CheckShape { go_type: "structs.CheckDefinition", fields: check_fields!["ID", "Token"] };

fn check_body(d: &mut Decoder, json: &Json, shape: &CheckShape) -> CheckBody {
    let mut check = CheckBody::default();
    d.fields(json, ("", shape.go_type), shape.fields, Unknown::Refuse, |d, field, json| match field {
        "Interval" | "Timeout" | "TTL" if is_negative(json) => {
            d.duration(json);
            check.has_negative = true;
        }
        "CheckID" | "ID" => check.id = d.string(json),
        "Name" => check.name = d.string(json),
        "Status" => check.status = d.string(json),
        "Notes" => check.notes = d.string(json),
        // In a service's check it is read and not looked at.
        "ServiceID" | "service_id" => check.service_id = d.string(json),
        "Token" => check.token = Secret::new(d.string(json)),
        "ScriptArgs" | "Args" | "script_args" => check.args = d.strings(json),
        "HTTP" => check.http = d.string(json),
        "Header" => check.header = header(d, json),
        "Method" => check.method = d.string(json),
        "Body" => check.body = d.string(json),
        "TCP" => check.tcp = d.string(json),
        "Interval" => check.interval = d.duration(json),
        "AliasNode" => check.alias_node = d.string(json),
        "AliasService" => check.alias_service = d.string(json),
        "DockerContainerID" | "docker_container_id" => check.docker_container_id = d.string(json),
        "Shell" => check.shell = d.string(json),
        "GRPC" => check.grpc = d.string(json),
        "GRPCUseTLS" => check.grpc_use_tls = d.bool(json),
        "TLSSkipVerify" | "tls_skip_verify" => check.tls_skip_verify = d.bool(json),
        "Timeout" => check.timeout = d.duration(json),
        "TTL" => check.ttl = d.duration(json),
        "SuccessBeforePassing" => check.success_before_passing = d.int(json),
        "FailuresBeforeCritical" => check.failures_before_critical = d.int(json),
        "DeregisterCriticalServiceAfter" | "deregister_critical_service_after" => {
            check.deregister_after = d.duration(json);
        }
        "OutputMaxSize" => check.output_max_size = d.int(json),
        _ => _ = d.string(json),
    });
    check
}

fn is_negative(json: &Json) -> bool {
    matches!(json, Json::String(text) | Json::Number(text) if text.starts_with('-'))
}

impl CheckBody {
    /// Consul's rules, in its order.
    fn validate(&self) -> Result<(), &'static str> {
        let polls =
            !(self.args.is_empty() && self.http.is_empty() && self.tcp.is_empty() && self.grpc.is_empty());
        let is_alias = !(self.alias_node.is_empty() && self.alias_service.is_empty());
        let zero = Duration::ZERO;
        if self.interval > zero && self.ttl > zero {
            return Err("Interval and TTL cannot both be specified");
        }
        if polls && self.interval == zero {
            return Err("Interval must be > 0 for Script, HTTP, or TCP checks");
        }
        if polls && is_alias {
            return Err("Interval cannot be set for Alias checks");
        }
        if is_alias && self.ttl > zero {
            return Err("TTL must be not be set for Alias checks");
        }
        if !polls && !is_alias && self.ttl == zero {
            return Err("TTL must be > 0 for TTL checks");
        }
        if self.output_max_size < 0 {
            return Err("MaxOutputMaxSize must be positive");
        }
        Ok(())
    }

    fn into_spec(self) -> Result<CheckSpec, Failure> {
        self.validate().map_err(|why| Failure::bad_request(format!("Invalid check: {why}")))?;
        Ok(self.spec())
    }

    /// For a check of its own, whose state is looked at before its kind.
    fn into_spec_saying(self, bad_status: &'static str) -> Result<CheckSpec, Failure> {
        if !self.status.is_empty() && matches!(CheckStatus::from(self.status.as_str()), CheckStatus::Other(_))
        {
            return Err(Failure::bad_request(bad_status));
        }
        self.into_spec()
    }

    /// The first kind that is given counts, in the order in which Consul's agent asks.
    fn spec(self) -> CheckSpec {
        let kind = if self.ttl > Duration::ZERO {
            CheckKind::Ttl(self.ttl)
        } else if !self.http.is_empty() {
            CheckKind::Http {
                url: self.http,
                method: self.method,
                header: self.header,
                body: self.body,
                tls_skip_verify: self.tls_skip_verify,
            }
        } else if !self.tcp.is_empty() {
            CheckKind::Tcp(self.tcp)
        } else if !self.grpc.is_empty() {
            CheckKind::Grpc {
                target: self.grpc,
                use_tls: self.grpc_use_tls,
                tls_skip_verify: self.tls_skip_verify,
            }
        } else if !self.args.is_empty() && !self.docker_container_id.is_empty() {
            CheckKind::Docker { container_id: self.docker_container_id, shell: self.shell, args: self.args }
        } else if !self.args.is_empty() {
            CheckKind::Script(self.args)
        } else {
            CheckKind::Alias { node: self.alias_node, service: self.alias_service.into() }
        };
        let count = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
        CheckSpec {
            id: self.id.into(),
            name: self.name,
            notes: self.notes,
            service_id: self.service_id.into(),
            token: self.token,
            status: (!self.status.is_empty()).then(|| CheckStatus::from(self.status.as_str())),
            kind,
            interval: self.interval,
            timeout: self.timeout,
            deregister_critical_service_after: self.deregister_after,
            success_before_passing: count(self.success_before_passing),
            failures_before_critical: count(self.failures_before_critical),
            output_max_size_bytes: usize::try_from(self.output_max_size).unwrap_or(0),
        }
    }
}

/// An address that stands for all of them names no place.
fn is_any_address(address: &str) -> bool {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
}

fn validate_weights(weights: Weights) -> Result<(), &'static str> {
    if weights.passing < 1 {
        return Err("Passing must be greater than 0");
    }
    if weights.warning < 0 {
        return Err("Warning must be greater or equal than 0");
    }
    if weights.passing > 65535 || weights.warning > 65535 {
        return Err("DNS Weight must be between 0 and 65535");
    }
    Ok(())
}

const META_MAX_PAIRS: usize = 64;
const META_MAX_KEY_CHARS: usize = 128;
const META_MAX_VALUE_CHARS: usize = 512;
const META_RESERVED_PREFIX: &str = "consul-";

fn validate_meta(meta: &BTreeMap<String, String>) -> Result<(), String> {
    if meta.len() > META_MAX_PAIRS {
        return Err(format!("Node metadata cannot contain more than {META_MAX_PAIRS} key/value pairs"));
    }
    for (key, value) in meta {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let why = if key.is_empty() {
            "Key cannot be blank".to_owned()
        } else if !key.bytes().all(allowed) {
            "Key contains invalid characters".to_owned()
        } else if key.len() > META_MAX_KEY_CHARS {
            format!("Key is too long (limit: {META_MAX_KEY_CHARS} characters)")
        } else if key.starts_with(META_RESERVED_PREFIX) {
            format!("Key prefix '{META_RESERVED_PREFIX}' is reserved for internal use")
        } else if value.len() > META_MAX_VALUE_CHARS {
            format!("Value is too long (limit: {META_MAX_VALUE_CHARS} characters)")
        } else {
            continue;
        };
        return Err(format!("Couldn't load metadata pair ('{key}', '{value}'): {why}"));
    }
    Ok(())
}
