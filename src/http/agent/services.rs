//! The agent's services.

use std::hash::{DefaultHasher, Hasher};

use crs_acl::{Access, Resource};
use crs_agent::LocalService;
use crs_types::{NodeService, ServiceId};
use http::{HeaderName, HeaderValue, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{compile_filter, push_agent_service};
use crate::body::service_definition;
use crate::call::{Call, Outcome};
use crate::error::Failure;
use crate::filter::passes;
use crate::json;
use crate::params::parse_bool;
use crate::reply::Reply;

const X_CONSUL_CONTENTHASH: HeaderName = HeaderName::from_static("x-consul-contenthash");

pub(crate) async fn list(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let authorizer = call.authorizer()?;
    let filter = compile_filter(&call, &NodeService::default())?;
    let services = call.agent()?.local().services();
    let shown = services.iter().map(|service| &service.record).filter(|service| {
        authorizer.allows(Resource::Service, service.service.as_str(), Access::Read)
            && passes(filter.as_ref(), &***service)
    });
    let mut out = Vec::with_capacity(services.len() * 256);
    json::push_map(&mut out, shown.map(|service| (service.id.as_str(), service)), |out, service| {
        push_agent_service(out, service, None);
    });
    Ok(Reply::json(out))
}

fn find(call: &Call, id: &ServiceId) -> Result<LocalService, Failure> {
    let found = call.agent()?.local().service(id);
    found.ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, format!("unknown service ID: {id}")))
}

/// One service; with `?hash=` of what the client has, waits until it is another.
pub(crate) async fn one(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let options = call.read_options()?;
    let id = ServiceId::from(call.rest());
    let mut changed = call.agent()?.local().services_version();
    changed.mark_unchanged();
    let mut service = find(&call, &id)?;
    let name = service.record.service.clone();
    call.authorizer()?.require(Resource::Service, name.as_str(), Access::Read)?;
    let known = call.param("hash").to_owned();
    if !known.is_empty() {
        let limits = call.agent()?.config().limits.clone();
        let wait = options.query.wait.unwrap_or(limits.default_query_time).min(limits.max_query_time);
        let deadline = Instant::now() + wait;
        while content_hash(&service.record) == known {
            match timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => service = find(&call, &id)?,
                Ok(Err(_)) | Err(_) => break,
            }
        }
    }
    let hash = content_hash(&service.record);
    let mut out = Vec::with_capacity(512);
    push_agent_service(&mut out, &service.record, Some(&hash));
    let header = HeaderValue::from_str(&hash).unwrap_or(HeaderValue::from_static(""));
    Ok(Reply::json(out).with_header(X_CONSUL_CONTENTHASH, header))
}

/// A number that is the same as long as the service is.
fn content_hash(service: &NodeService) -> String {
    let mut out = Vec::with_capacity(512);
    push_agent_service(&mut out, service, None);
    let mut hasher = DefaultHasher::new();
    hasher.write(&out);
    format!("{:016x}", hasher.finish())
}

pub(crate) async fn register(mut call: Call) -> Outcome {
    call.refuse_namespace()?;
    let body = call.read_json_body().await?;
    let mut spec = service_definition(&body)?;
    if spec.token.is_empty() {
        spec.token = call.token();
    }
    let authorizer = call.authorizer()?;
    authorizer.require(Resource::Service, spec.name.as_str(), Access::Write)?;
    if let Some(known) = call.agent()?.local().service(&spec.id) {
        // Taking over somebody's id needs the right on what is there as well.
        authorizer.require(Resource::Service, known.record.service.as_str(), Access::Write)?;
    }
    let replace = parse_bool(call.param("replace-existing-checks")).unwrap_or(false);
    call.agent()?.register_service(spec, replace).await?;
    Ok(Reply::empty())
}

pub(crate) async fn deregister(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let id = ServiceId::from(call.rest());
    if let Some(known) = call.agent()?.local().service(&id) {
        call.authorizer()?.require(Resource::Service, known.record.service.as_str(), Access::Write)?;
    }
    if id.is_empty() {
        return Err(Failure::refused("ServiceID missing"));
    }
    call.agent()?.deregister_service(&id).await?;
    Ok(Reply::empty())
}

pub(crate) async fn maintenance(call: Call) -> Outcome {
    let id = ServiceId::from(call.rest());
    if id.is_empty() {
        return Err(Failure::bad_request("Missing service ID"));
    }
    let enable = enable(&call)?;
    call.refuse_namespace()?;
    if let Some(known) = call.agent()?.local().service(&id) {
        call.authorizer()?.require(Resource::Service, known.record.service.as_str(), Access::Write)?;
    }
    call.agent()?.set_service_maintenance(&id, enable, call.param("reason"), call.token()).await?;
    Ok(Reply::empty())
}

/// `?enable=`, which must be there.
pub(super) fn enable(call: &Call) -> Result<bool, Failure> {
    match call.param("enable") {
        _ if !call.has_param("enable") => Err(Failure::bad_request("Missing value for enable")),
        text => parse_bool(text)
            .ok_or_else(|| Failure::bad_request(format!("Invalid value for enable: {text:?}"))),
    }
}
