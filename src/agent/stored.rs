//! The disk form of registrations: versioned JSON of its own, so that neither the API nor the domain types are tied to it.

use std::collections::BTreeMap;
use std::time::Duration;

use crs_types::{CheckKind, CheckSpec, CheckStatus, Secret, ServiceAddress, ServiceId, ServiceSpec, Weights};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The version written. Readers refuse newer ones.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize, Deserialize)]
struct Address {
    address: String,
    port: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    version: u32,
    id: String,
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    kind: String,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    address: String,
    #[serde(default)]
    tagged_addresses: BTreeMap<String, Address>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    port: i64,
    weights: [i64; 2],
    #[serde(default)]
    enable_tag_override: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    proxy: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    connect: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    token: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Kind {
    Http {
        url: String,
        #[serde(default)]
        method: String,
        #[serde(default)]
        header: BTreeMap<String, Vec<String>>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        tls_skip_verify: bool,
    },
    Tcp(String),
    TtlMs(u64),
    Script(Vec<String>),
    Docker {
        container_id: String,
        shell: String,
        args: Vec<String>,
    },
    Grpc {
        target: String,
        use_tls: bool,
        tls_skip_verify: bool,
    },
    Alias {
        node: String,
        service: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Check {
    id: String,
    name: String,
    #[serde(default)]
    notes: String,
    #[serde(default)]
    service_id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    token: String,
    #[serde(default)]
    status: Option<String>,
    kind: Kind,
    #[serde(default)]
    interval_ms: u64,
    #[serde(default)]
    timeout_ms: u64,
    #[serde(default)]
    deregister_after_ms: u64,
    #[serde(default)]
    success_before_passing: u32,
    #[serde(default)]
    failures_before_critical: u32,
    #[serde(default)]
    output_max_size_bytes: usize,
}

/// The last word of a TTL check, and until when it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct TtlState {
    pub(crate) status: CheckStatus,
    pub(crate) output: String,
    /// Seconds since 1970.
    pub(crate) expires_unix: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    status: String,
    output: String,
    expires_unix: u64,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn to_value<T: Serialize>(body: T) -> Value {
    // Structs of strings, numbers and maps with text keys have no way to fail.
    serde_json::to_value(body).unwrap_or(Value::Null)
}

/// A service without its checks.
pub(crate) fn service_to_json(spec: &ServiceSpec) -> Value {
    let tagged = spec.tagged_addresses.iter();
    to_value(Service {
        version: VERSION,
        id: spec.id.as_str().into(),
        name: spec.name.as_str().into(),
        kind: spec.kind.clone(),
        tags: spec.tags.clone(),
        address: spec.address.clone(),
        tagged_addresses: tagged
            .map(|(tag, at)| (tag.clone(), Address { address: at.address.clone(), port: at.port }))
            .collect(),
        meta: spec.meta.clone(),
        port: spec.port,
        weights: [spec.weights.passing, spec.weights.warning],
        enable_tag_override: spec.enable_tag_override,
        proxy: spec.proxy.clone(),
        connect: spec.connect.clone(),
        token: spec.token.reveal().clone(),
    })
}

/// Reads what [`service_to_json`] wrote.
pub(crate) fn service_from_json(value: Value) -> Result<ServiceSpec, String> {
    let service: Service = serde_json::from_value(value).map_err(|error| error.to_string())?;
    supported(service.version)?;
    Ok(ServiceSpec {
        kind: service.kind,
        id: service.id.into(),
        name: service.name.into(),
        tags: service.tags,
        address: service.address,
        tagged_addresses: service
            .tagged_addresses
            .into_iter()
            .map(|(tag, at)| (tag, ServiceAddress { address: at.address, port: at.port }))
            .collect(),
        meta: service.meta,
        port: service.port,
        weights: Weights { passing: service.weights[0], warning: service.weights[1] },
        enable_tag_override: service.enable_tag_override,
        proxy: service.proxy,
        connect: service.connect,
        token: Secret::new(service.token),
        checks: Vec::new(),
    })
}

fn supported(version: u32) -> Result<(), String> {
    if version <= VERSION {
        Ok(())
    } else {
        Err(format!("version {version} of the record is newer than this program"))
    }
}

/// A check.
pub(crate) fn check_to_json(spec: &CheckSpec) -> Value {
    let kind = match spec.kind.clone() {
        CheckKind::Http { url, method, header, body, tls_skip_verify } => {
            Kind::Http { url, method, header, body, tls_skip_verify }
        }
        CheckKind::Tcp(address) => Kind::Tcp(address),
        CheckKind::Ttl(ttl) => Kind::TtlMs(ms(ttl)),
        CheckKind::Script(args) => Kind::Script(args),
        CheckKind::Docker { container_id, shell, args } => Kind::Docker { container_id, shell, args },
        CheckKind::Grpc { target, use_tls, tls_skip_verify } => {
            Kind::Grpc { target, use_tls, tls_skip_verify }
        }
        CheckKind::Alias { node, service } => Kind::Alias { node, service: service.as_str().into() },
    };
    to_value(Versioned {
        version: VERSION,
        body: Check {
            id: spec.id.as_str().into(),
            name: spec.name.clone(),
            notes: spec.notes.clone(),
            service_id: spec.service_id.as_str().into(),
            token: spec.token.reveal().clone(),
            status: spec.status.as_ref().map(|status| status.as_str().into()),
            kind,
            interval_ms: ms(spec.interval),
            timeout_ms: ms(spec.timeout),
            deregister_after_ms: ms(spec.deregister_critical_service_after),
            success_before_passing: spec.success_before_passing,
            failures_before_critical: spec.failures_before_critical,
            output_max_size_bytes: spec.output_max_size_bytes,
        },
    })
}

/// Reads what [`check_to_json`] wrote.
pub(crate) fn check_from_json(value: Value) -> Result<CheckSpec, String> {
    let versioned: Versioned<Check> = serde_json::from_value(value).map_err(|error| error.to_string())?;
    supported(versioned.version)?;
    let check = versioned.body;
    let kind = match check.kind {
        Kind::Http { url, method, header, body, tls_skip_verify } => {
            CheckKind::Http { url, method, header, body, tls_skip_verify }
        }
        Kind::Tcp(address) => CheckKind::Tcp(address),
        Kind::TtlMs(ttl) => CheckKind::Ttl(Duration::from_millis(ttl)),
        Kind::Script(args) => CheckKind::Script(args),
        Kind::Docker { container_id, shell, args } => CheckKind::Docker { container_id, shell, args },
        Kind::Grpc { target, use_tls, tls_skip_verify } => {
            CheckKind::Grpc { target, use_tls, tls_skip_verify }
        }
        Kind::Alias { node, service } => CheckKind::Alias { node, service: service.into() },
    };
    Ok(CheckSpec {
        id: check.id.into(),
        name: check.name,
        notes: check.notes,
        service_id: check.service_id.into(),
        token: Secret::new(check.token),
        status: check.status.map(|status| CheckStatus::from(status.as_str())),
        kind,
        interval: Duration::from_millis(check.interval_ms),
        timeout: Duration::from_millis(check.timeout_ms),
        deregister_critical_service_after: Duration::from_millis(check.deregister_after_ms),
        success_before_passing: check.success_before_passing,
        failures_before_critical: check.failures_before_critical,
        output_max_size_bytes: check.output_max_size_bytes,
    })
}

/// The state of a TTL check.
pub(crate) fn state_to_json(state: &TtlState) -> Value {
    to_value(Versioned {
        version: VERSION,
        body: State {
            status: state.status.as_str().into(),
            output: state.output.clone(),
            expires_unix: state.expires_unix,
        },
    })
}

/// Reads what [`state_to_json`] wrote.
pub(crate) fn state_from_json(value: Value) -> Result<TtlState, String> {
    let versioned: Versioned<State> = serde_json::from_value(value).map_err(|error| error.to_string())?;
    supported(versioned.version)?;
    let state = versioned.body;
    Ok(TtlState {
        status: state.status.as_str().into(),
        output: state.output,
        expires_unix: state.expires_unix,
    })
}

#[derive(Serialize, Deserialize)]
struct Maintenance {
    #[serde(default)]
    service_id: Option<String>,
    reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    token: String,
}

/// Maintenance of the node, or of a service.
pub(crate) fn maintenance_to_json(
    service: Option<&ServiceId>,
    reason: &str,
    token: &Secret<String>,
) -> Value {
    to_value(Versioned {
        version: VERSION,
        body: Maintenance {
            service_id: service.map(|id| id.as_str().into()),
            reason: reason.into(),
            token: token.reveal().clone(),
        },
    })
}

/// Reads what [`maintenance_to_json`] wrote.
pub(crate) fn maintenance_from_json(
    value: Value,
) -> Result<(Option<ServiceId>, String, Secret<String>), String> {
    let versioned: Versioned<Maintenance> =
        serde_json::from_value(value).map_err(|error| error.to_string())?;
    supported(versioned.version)?;
    let body = versioned.body;
    Ok((body.service_id.map(ServiceId::from), body.reason, Secret::new(body.token)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_service_comes_back_as_it_was_and_its_form_is_pinned() {
        let spec = ServiceSpec {
            id: "web-1".into(),
            name: "web".into(),
            tags: vec!["a".into()],
            address: "10.0.0.1".into(),
            tagged_addresses: [("lan".to_owned(), ServiceAddress { address: "l".into(), port: 2 })].into(),
            meta: Some([("k".to_owned(), "v".to_owned())].into()),
            port: 80,
            weights: Weights { passing: 3, warning: 2 },
            enable_tag_override: true,
            token: "secret".into(),
            ..ServiceSpec::default()
        };
        let value = service_to_json(&spec);
        let golden = json!({
            "version": 1, "id": "web-1", "name": "web", "tags": ["a"], "address": "10.0.0.1",
            "tagged_addresses": {"lan": {"address": "l", "port": 2}}, "meta": {"k": "v"}, "port": 80,
            "weights": [3, 2], "enable_tag_override": true, "token": "secret",
        });
        assert_eq!(value, golden);
        assert_eq!(service_from_json(value), Ok(spec));
        assert!(service_from_json(json!({"version": 2, "id": "a", "name": "a", "weights": [1, 1]})).is_err());
    }

    #[test]
    fn every_kind_of_check_comes_back_as_it_was() {
        let kinds = [
            CheckKind::Http {
                url: "http://a".into(),
                method: "PUT".into(),
                header: [("H".to_owned(), vec!["v".to_owned()])].into(),
                body: "b".into(),
                tls_skip_verify: true,
            },
            CheckKind::Tcp("a:1".into()),
            CheckKind::Ttl(Duration::from_secs(9)),
            CheckKind::Script(vec!["a".into(), "b".into()]),
            CheckKind::Docker { container_id: "c".into(), shell: "s".into(), args: vec!["x".into()] },
            CheckKind::Grpc { target: "t".into(), use_tls: true, tls_skip_verify: false },
            CheckKind::Alias { node: "n".into(), service: "s".into() },
        ];
        for kind in kinds {
            let spec = CheckSpec {
                id: "c".into(),
                name: "n".into(),
                notes: "notes".into(),
                service_id: "s".into(),
                token: "t".into(),
                status: Some(CheckStatus::Warning),
                kind,
                interval: Duration::from_secs(10),
                timeout: Duration::from_millis(1500),
                deregister_critical_service_after: Duration::from_secs(90),
                success_before_passing: 2,
                failures_before_critical: 3,
                output_max_size_bytes: 100,
            };
            assert_eq!(check_from_json(check_to_json(&spec)), Ok(spec));
        }
        let state = TtlState { status: CheckStatus::Passing, output: "o".into(), expires_unix: 7 };
        assert_eq!(state_from_json(state_to_json(&state)), Ok(state));
        let (service, token) = (Some("s".into()), Secret::from("t"));
        let value = maintenance_to_json(service.as_ref(), "why", &token);
        assert_eq!(maintenance_from_json(value), Ok((service, "why".to_owned(), token)));
    }
}
