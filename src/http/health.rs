//! `/v1/health/`: checks, and instances with all that decides on their health.

use std::sync::Arc;

use crs_acl::{Access, Resource};
use crs_store::{Found, Stored, Topic};
use crs_types::{CheckStatus, HealthCheck, NodeName, ServiceName};

use crate::call::{Call, Outcome};
use crate::catalog::{NodeMeta, Tags, begun, may_see};
use crate::error::Failure;
use crate::filter::{self, ServiceHealth, passes};
use crate::json;
use crate::near::nearest_first;
use crate::params::parse_bool;
use crate::reply::Reply;

pub(crate) async fn service(call: Call) -> Outcome {
    call.refuse_namespace()?;
    let options = call.discovery_options()?;
    if call.rest().is_empty() {
        return Err(Failure::bad_request("Missing service name"));
    }
    begun(call.require_own_datacenter())?;
    let passing = match call.param("passing") {
        "" => call.has_param("passing"),
        text => parse_bool(text).ok_or_else(|| Failure::bad_request("Invalid value for ?passing"))?,
    };
    let authorizer = call.authorizer()?;
    let (meta, tags) = (NodeMeta::of(&call), Tags::of(&call));
    let filter = filter::compile(call.param("filter"), &ServiceHealth(&sample()))?;
    let name = ServiceName::from(call.rest());
    let topic = Topic::ServiceHealth(name.folded());
    let read = call.api.server().query(&options.query, topic, |state| state.service_health(&name));
    let answer = begun(read.await)?;
    let instances = answer.value.iter().filter(|instance| {
        may_see(&authorizer, instance)
            && (!passing || instance.checks.iter().all(|check| check.value.status == CheckStatus::Passing))
            && meta.matches(&instance.node.value)
            && tags.matches(&instance.service.value)
            && passes(filter.as_ref(), &ServiceHealth(instance))
    });
    let instances = nearest_first(&call, instances, |instance| &instance.node.value.node);
    let mut out = Vec::with_capacity(instances.len() * 1536);
    json::push_list(&mut out, instances, |out, instance| {
        out.extend_from_slice(br#"{"Node":"#);
        json::push_node(out, &instance.node);
        out.extend_from_slice(br#","Service":"#);
        json::push_service(out, &instance.service);
        out.extend_from_slice(br#","Checks":"#);
        json::push_list(out, &*instance.checks, |out, check| json::push_check(out, check));
        out.push(b'}');
    });
    Ok(Reply::json(out).with_meta(options.cacheable_meta(answer.meta, call.settings())))
}

/// For checking a filter before anything is read.
fn sample() -> crs_store::Instance {
    use crs_types::Index;
    crs_store::Instance {
        node: Arc::new(Stored::new(Default::default(), Index::ZERO, Index::ZERO)),
        service: Arc::new(Stored::new(Default::default(), Index::ZERO, Index::ZERO)),
        checks: Arc::from([]),
    }
}

type Checks = Vec<Arc<Stored<HealthCheck>>>;

/// What the endpoints that answer a list of checks share.
async fn checks(call: &Call, topic: Topic, read: impl FnMut(&crs_store::State) -> Found<Checks>) -> Outcome {
    let options = call.discovery_options()?;
    begun(call.require_own_datacenter())?;
    let authorizer = call.authorizer()?;
    let filter = filter::compile(call.param("filter"), &HealthCheck::default())?;
    let meta = NodeMeta::of(call);
    let answer = begun(call.api.server().query(&options.query, topic, read).await)?;
    let shown = answer.value.iter().filter(|check| {
        let check = &check.value;
        let allowed = if check.service_id.is_empty() {
            authorizer.allows(Resource::Node, check.node.as_str(), Access::Read)
        } else {
            authorizer.allows(Resource::Service, check.service_name.as_str(), Access::Read)
        };
        let node = || answer.state.node_record(&check.node);
        allowed
            && (meta.is_empty() || node().is_some_and(|node| meta.matches(&node.value)))
            && passes(filter.as_ref(), check)
    });
    let shown = nearest_first(call, shown, |check| &check.value.node);
    let mut out = Vec::with_capacity(shown.len() * 384);
    json::push_list(&mut out, shown, |out, check| json::push_check(out, check));
    Ok(Reply::json(out).with_meta(options.discovery_meta(answer.meta)))
}

pub(crate) async fn node(call: Call) -> Outcome {
    call.refuse_namespace()?;
    if call.rest().is_empty() {
        call.discovery_options()?;
        return Err(Failure::bad_request("Missing node name"));
    }
    let name = NodeName::from(call.rest());
    checks(&call, Topic::NodeChecks(name.folded()), |state| state.node_checks(&name)).await
}

pub(crate) async fn of_service(call: Call) -> Outcome {
    call.refuse_namespace()?;
    if call.rest().is_empty() {
        call.discovery_options()?;
        return Err(Failure::bad_request("Missing service name"));
    }
    let name = ServiceName::from(call.rest());
    checks(&call, Topic::ServiceChecks(name.folded()), |state| state.service_checks(&name)).await
}

pub(crate) async fn state(call: Call) -> Outcome {
    call.refuse_namespace()?;
    if call.rest().is_empty() {
        call.discovery_options()?;
        return Err(Failure::bad_request("Missing check state"));
    }
    let status = Some(call.rest()).filter(|word| *word != "any").map(CheckStatus::from);
    let topic = status.clone().map_or(Topic::Checks, Topic::ChecksInState);
    checks(&call, topic, |state| state.checks_in_state(status.as_ref())).await
}
