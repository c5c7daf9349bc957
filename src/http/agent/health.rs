//! The health of the agent's services, as the status code of the answer: for load balancers that ask the agent.

use std::sync::Arc;

use crs_acl::{Access, Resource};
use crs_agent::{LocalService, LocalState, aggregated_status};
use crs_types::{HealthCheck, ServiceId, ServiceName, format_duration};
use http::{HeaderName, HeaderValue, StatusCode};

use super::push_agent_service;
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::json;
use crate::reply::Reply;

const X_CONSUL_REASON: HeaderName = HeaderName::from_static("x-consul-reason");

struct Health {
    service: LocalService,
    checks: Vec<Arc<HealthCheck>>,
    status: &'static str,
}

fn health_of(local: &LocalState, service: LocalService) -> Health {
    let checks = local.checks_for(&service.record.id);
    let status = aggregated_status(checks.iter().map(|check| &**check));
    Health { service, checks, status }
}

fn code(status: &str) -> StatusCode {
    match status {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn as_text(call: &Call) -> bool {
    call.param("format") == "text"
}

fn with_reason(reply: Reply, status: StatusCode, reason: &str) -> Reply {
    let reply = reply.with_status(status);
    match HeaderValue::from_str(reason) {
        Ok(reason) => reply.with_header(X_CONSUL_REASON, reason),
        // A name that no header can carry.
        Err(_) => reply,
    }
}

/// The word alone, with the content type that Consul sends.
fn word(text: String) -> Reply {
    Reply::bytes(text.into(), Some(HeaderValue::from_static("text/plain")))
}

pub(crate) async fn by_id(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let id = ServiceId::from(call.rest());
    if id.is_empty() {
        return Err(Failure::refused("Bad request: Missing serviceID"));
    }
    let Some(service) = call.agent()?.local().service(&id) else {
        let reason = format!("ServiceId {id} not found");
        let mut out = Vec::new();
        if as_text(&call) {
            json::push_string(&mut out, &reason);
        } else {
            out.extend_from_slice(br#"{"AggregatedStatus":"critical","Service":null,"Checks":null}"#);
        }
        return Ok(with_reason(Reply::json(out), StatusCode::NOT_FOUND, &reason));
    };
    call.authorizer()?.require(Resource::Service, service.record.service.as_str(), Access::Read)?;
    let health = health_of(call.agent()?.local(), service);
    let reply = if as_text(&call) {
        word(health.status.to_owned())
    } else {
        let mut out = Vec::with_capacity(1024);
        push_health(&mut out, &health);
        Reply::json(out)
    };
    Ok(with_reason(reply, code(health.status), health.status))
}

pub(crate) async fn by_name(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let name = ServiceName::from(call.rest());
    if name.is_empty() {
        return Err(Failure::refused("Bad request: Missing service Name"));
    }
    call.authorizer()?.require(Resource::Service, name.as_str(), Access::Read)?;
    let local = call.agent()?.local();
    let services = local.services();
    let found: Vec<Health> = services
        .into_iter()
        .filter(|service| service.record.service == name)
        .map(|service| health_of(local, service))
        .collect();
    if found.is_empty() {
        let reason = format!("ServiceName {name} Not Found");
        let reply = if as_text(&call) { word(reason.clone()) } else { Reply::json(b"[]".to_vec()) };
        return Ok(with_reason(reply, StatusCode::NOT_FOUND, &reason));
    }
    // The worst of the instances decides.
    let rank = |status: &str| match status {
        "passing" => 0,
        "warning" => 1,
        "critical" => 2,
        _ => 3,
    };
    let worst =
        found.iter().map(|health| health.status).max_by_key(|status| rank(status)).unwrap_or("passing");
    let reply = if as_text(&call) {
        word(worst.to_owned())
    } else {
        let mut out = Vec::with_capacity(1024);
        json::push_list(&mut out, &found, push_health);
        Reply::json(out)
    };
    Ok(with_reason(reply, code(worst), worst))
}

fn push_health(out: &mut Vec<u8>, health: &Health) {
    out.extend_from_slice(b"{\"AggregatedStatus\":");
    json::push_string(out, health.status);
    out.extend_from_slice(b",\"Service\":");
    push_agent_service(out, &health.service.record, None);
    out.extend_from_slice(b",\"Checks\":");
    json::push_list(out, &health.checks, |out, check| push_check(out, check));
    out.push(b'}');
}

/// Here Consul shows checks in another form than everywhere else: a full definition, no type, and `null` for no tags.
fn push_check(out: &mut Vec<u8>, check: &HealthCheck) {
    let texts = [
        ("{\"Node\":", check.node.as_str()),
        (",\"CheckID\":", check.check_id.as_str()),
        (",\"Name\":", &check.name),
        (",\"Status\":", check.status.as_str()),
        (",\"Notes\":", &check.notes),
        (",\"Output\":", &check.output),
        (",\"ServiceID\":", check.service_id.as_str()),
        (",\"ServiceName\":", check.service_name.as_str()),
    ];
    for (key, value) in texts {
        out.extend_from_slice(key.as_bytes());
        json::push_string(out, value);
    }
    let definition = &check.definition;
    out.extend_from_slice(b",\"ServiceTags\":");
    if check.service_tags.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        json::push_list(out, &check.service_tags, |out, tag| json::push_string(out, tag));
    }
    out.extend_from_slice(b",\"Type\":\"\",\"Definition\":{\"Interval\":");
    json::push_string(out, &format_duration(definition.interval));
    out.extend_from_slice(b",\"Timeout\":");
    json::push_string(out, &format_duration(definition.timeout));
    out.extend_from_slice(b",\"DeregisterCriticalServiceAfter\":");
    json::push_string(out, &format_duration(definition.deregister_critical_service_after));
    out.extend_from_slice(
        br#","HTTP":"","Header":null,"Method":"","Body":"","TLSSkipVerify":false,"TCP":""},"CreateIndex":0,"ModifyIndex":0}"#,
    );
}
